"""Which workers live."""

from __future__ import annotations

import socket
from collections import Counter
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import now
from app.machines.tables import Worker

ALIVE = timedelta(seconds=60)


def workers(session: Session) -> list[Worker]:
    """Those that reported within the last day, newest report first."""
    query = select(Worker).where(Worker.seen_at > now() - timedelta(days=1)).order_by(Worker.seen_at.desc())
    return list(session.scalars(query))


def is_alive(worker: Worker) -> bool:
    return worker.seen_at > now() - ALIVE


def alive(session: Session, queue: str | None = None) -> list[Worker]:
    """Those that live; of one queue, or of all."""
    return [worker for worker in workers(session) if is_alive(worker) and queue in (None, worker.queue)]


def is_one_here(session: Session, queue: str) -> bool:
    """Whether a worker of this host lives: for the health check of its container."""
    here = f"{socket.gethostname()}/"
    return any(worker.machine.startswith(here) for worker in alive(session, queue))


def alive_by_queue(session: Session) -> dict[str, int]:
    return dict(Counter(worker.queue for worker in alive(session)))
