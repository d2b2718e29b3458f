"""Tidying up: the trash, uploads that no job took, files that nothing names, what killed processes left.

Every process offers to do it; one at a time does (a row is its turn), a few seconds at once, and goes on from a cursor.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.admin.tables import Upkeep
from app.artworks.tables import Artwork
from app.checkpoints import distribution
from app.database import clock, now, session_scope, storage_lock
from app.datasets.tables import DatasetItem
from app.imaging import forget_previews
from app.settings import get_settings
from app.storage import get_storage
from app.uploads.tables import Upload
from models.folders import WRITING

UNTOUCHED_SECONDS, LEFTOVER_SECONDS = 3600.0, 86400.0
EVERY = timedelta(minutes=10)  # between two rounds
TURN_SECONDS = 5.0  # of work; then others may
LEASE = timedelta(seconds=120)  # a process that is silent for so long has lost its turn
PAGE = 500  # files that are looked up at once
UNUSED_UPLOAD_DAYS = 7
DEEPEST = 4  # folders below the data folder in which things are written: those of a run, and of a preview
NAMING = (Artwork, Upload, DatasetItem)
ME = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
log = structlog.get_logger()


def tidy() -> None:
    """A turn of each task that is due and that nobody else does."""
    with turn("rows") as mine:
        if mine:
            empty_trash()
            drop_unused_uploads()
            mine.done()
    with turn("files") as mine:
        if mine:
            collect_garbage(mine)
    with turn(f"leftovers {socket.gethostname()} {get_settings().data}") as mine:  # each folder has its own
        if mine:
            collect_leftovers()
            mine.done()


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


def empty_trash() -> int:
    """Delete what was in the trash for long; returns how many works. Their files go as files that nothing names."""
    days = get_settings().trash_days
    if days == 0:
        return 0
    with session_scope() as session:
        done = session.execute(delete(Artwork).where(Artwork.deleted_at < now() - timedelta(days=days)))
    return int(done.rowcount)  # type: ignore[attr-defined]


def drop_unused_uploads() -> int:
    """Forget uploads that no job took within days; returns how many. Their files go as files that nothing names."""
    long_ago = now() - timedelta(days=UNUSED_UPLOAD_DAYS)
    with session_scope() as session:
        done = session.execute(delete(Upload).where(Upload.used_at.is_(None), Upload.created_at < long_ago))
    return int(done.rowcount)  # type: ignore[attr-defined]


def collect_garbage(
    mine: Turn, untouched_seconds: float = UNTOUCHED_SECONDS, turn_seconds: float = TURN_SECONDS
) -> int:
    """Delete files that nobody touched for an hour and no row names, from the turn's cursor on; returns how many."""
    deadline, deleted, storage = time.monotonic() + turn_seconds, 0, get_storage()
    while page := storage.after(mine.cursor, PAGE):
        old = [digest for digest, age in page if age >= untouched_seconds]
        with session_scope(writing=False) as session:
            unnamed = sorted(set(old) - named(session, old))
        for digest in unnamed:
            with session_scope() as session:
                storage_lock(session, exclusive=True)
                age = storage.age(digest)
                if age is not None and age >= untouched_seconds and not named(session, [digest]):
                    storage.delete(digest)
                    forget_previews(digest)
                    deleted += 1
        mine.cursor = page[-1][0]
        if time.monotonic() > deadline:
            break
    else:
        mine.done()
    if deleted:
        log.info("files_collected", files=deleted)
    return deleted


def named(session: Session, digests: list[str]) -> set[str]:
    """Which of these a row names."""
    found = distribution.digests(session) & set(digests)
    for table in NAMING:
        found |= {digest for digest in session.scalars(select(table.sha256).where(table.sha256.in_(digests))) if digest}
    return found


def collect_leftovers(untouched_seconds: float = LEFTOVER_SECONDS) -> int:
    """Delete what whoever wrote it was killed over: files and folders that are not whole; returns how many."""
    deleted = 0
    data = get_settings().data
    for path in [path for depth in range(DEEPEST) for path in data.glob(f"{'*/' * depth}{WRITING}*")]:
        with suppress(FileNotFoundError):  # it has become whole meanwhile
            touched = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
            if time.time() - touched > untouched_seconds:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                deleted += 1
    return deleted
