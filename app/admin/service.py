"""What admins look at: workers and the queue."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.admin.tables import Worker
from app.database import now
from app.generations.tables import UNFINISHED, Generation
from app.training_runs.tables import TrainingRun
from app.users.tables import User

ALIVE = timedelta(seconds=60)


def workers(session: Session) -> list[Worker]:
    """Those that reported within the last day, newest report first."""
    query = select(Worker).where(Worker.seen_at > now() - timedelta(days=1)).order_by(Worker.seen_at.desc())
    return list(session.scalars(query))


def is_alive(worker: Worker) -> bool:
    return worker.seen_at > now() - ALIVE


def alive_by_queue(session: Session) -> dict[str, int]:
    return dict(Counter(worker.queue for worker in workers(session) if is_alive(worker)))


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


def counts(session: Session) -> dict[tuple[str, str], int]:
    """Jobs of both kinds by (queue, status)."""
    found: dict[tuple[str, str], int] = {}
    for table in (Generation, TrainingRun):
        rows: Any = session.execute(select(table.queue, table.status, func.count()).group_by(table.queue, table.status))
        found |= {(queue, status): number for queue, status, number in rows}
    return found
