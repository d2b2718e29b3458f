"""What admins look at: the queue, the runs, the room that is left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.artworks.tables import Artwork
from app.datasets.tables import DatasetItem
from app.generations.tables import UNFINISHED, Generation
from app.jobs.events import client
from app.jobs.registry import queues
from app.settings import get_settings
from app.training_runs.tables import TrainingRun
from app.users.tables import User

log = structlog.get_logger()


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
    """Jobs of every kind by (queue, status)."""
    found: dict[tuple[str, str], int] = {}
    for table in (queue.table for queue in queues().values()):
        rows: Any = session.execute(select(table.queue, table.status, func.count()).group_by(table.queue, table.status))
        found |= {(queue, status): number for queue, status, number in rows}
    return found
