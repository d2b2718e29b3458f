"""Tasks of upkeep that one process at a time does, piece by piece: a row is its turn."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import or_, update
from sqlalchemy.exc import IntegrityError

from app.database import clock, now, session_scope
from app.upkeep.tables import Upkeep

EVERY = timedelta(minutes=10)  # between two rounds
LEASE = timedelta(seconds=120)  # a process that is silent for so long has lost its turn
ME = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass
class Turn:
    """How far a task of upkeep is; kept when the turn ends."""

    cursor: str
    finished: bool = False

    def done(self) -> None:
        self.cursor, self.finished = "", True


@contextmanager
def turn(name: str, every: timedelta = EVERY) -> Iterator[Turn | None]:
    """A turn of a task, None where another process has it or it is not due. What is not `done` goes on next time."""
    mine = take_turn(name, every)
    try:
        yield mine
    finally:
        if mine is not None:
            with session_scope() as session:
                values = {"holder": None, "held_until": None, "cursor": mine.cursor}
                if mine.finished:
                    values["finished_at"] = now()  # type: ignore[assignment]
                session.execute(update(Upkeep).where(Upkeep.name == name, Upkeep.holder == ME).values(values))


def take_turn(name: str, every: timedelta) -> Turn | None:
    with session_scope(writing=False) as session:
        known = session.get(Upkeep, name)
    if known is None:
        with suppress(IntegrityError), session_scope() as session:
            session.add(Upkeep(name=name, cursor="", finished_at=now()))  # due after a while, not at the first start
        return None
    with session_scope() as session:
        moment = clock(session)
        due = or_(Upkeep.cursor != "", Upkeep.finished_at.is_(None), Upkeep.finished_at < moment - every)
        free = or_(Upkeep.held_until.is_(None), Upkeep.held_until < moment)
        query = update(Upkeep).where(Upkeep.name == name, due, free).values(holder=ME, held_until=moment + LEASE)
        cursor = session.scalar(query.returning(Upkeep.cursor))
    return None if cursor is None else Turn(cursor)
