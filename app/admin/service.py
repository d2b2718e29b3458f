"""What admins look at: workers and the queue."""

from __future__ import annotations

import shutil
import socket
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.admin.tables import Worker
from app.artworks.tables import Artwork
from app.database import now
from app.datasets.tables import DatasetItem
from app.events import client
from app.generations.tables import UNFINISHED, Generation
from app.settings import get_settings
from app.training_runs.tables import TrainingRun
from app.users.tables import User

ALIVE = timedelta(seconds=60)
log = structlog.get_logger()


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


def unfinished(session: Session, limit: int = 100) -> list[tuple[Generation, str]]:
    """(job, name of its user), running ones first, then by age."""
    query = (
        select(Generation, User.name)
        .join(User, User.id == Generation.user_id)
        .where(Generation.status.in_(UNFINISHED))
        .order_by(Generation.status.desc(), Generation.id)
        .limit(limit)
    )
    return [(job, name) for job, name in session.execute(query)]


def training(session: Session) -> list[TrainingRun]:
    """Runs that wait or train, running ones first, then by age."""
    query = select(TrainingRun).where(TrainingRun.status.in_(("queued", "running")))
    return list(session.scalars(query.order_by(TrainingRun.status.desc(), TrainingRun.id)))


@dataclass(frozen=True)
class Room:
    """Bytes of works, of datasets, and of the disk that the data folder is on."""

    works: int
    datasets: int
    free: int
    total: int


def room(session: Session) -> Room:
    works, datasets = (session.scalar(select(func.sum(table.size_bytes))) or 0 for table in (Artwork, DatasetItem))
    disk = shutil.disk_usage(get_settings().data)
    return Room(works, datasets, disk.free, disk.total)


def redis_answers() -> bool:
    try:
        client().ping()
    except Exception as error:
        log.warning("not_ready", part="redis", error=str(error))
        return False
    return True


def counts(session: Session) -> dict[tuple[str, str], int]:
    """Jobs of both kinds by (queue, status)."""
    found: dict[tuple[str, str], int] = {}
    for table in (Generation, TrainingRun):
        rows: Any = session.execute(select(table.queue, table.status, func.count()).group_by(table.queue, table.status))
        found |= {(queue, status): number for queue, status, number in rows}
    return found
