"""Leases of workers that died go back to the queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import ColumnElement, Select, case, literal, null, or_, select, update
from sqlalchemy.orm import Session

from app.database import MessageJSON, UTCDateTime, clock, now, session_scope
from app.jobs.queue import ring
from app.jobs.registry import queues
from app.jobs.table import Job
from app.settings import get_settings

J = TypeVar("J", bound=Job)
MAX_ATTEMPTS = 3
log = structlog.get_logger()


def sweep() -> None:
    """One round: expired leases back to the queue, or failed after MAX_ATTEMPTS."""
    with session_scope(writing=False) as session:
        expired = any(session.scalars(expired_leases(session, q.table).limit(1)).first() for q in queues().values())
    if not expired:
        return
    with session_scope() as session:
        changed = [(queue, job) for queue in queues().values() for job in reap(session, queue.table)]
    for queue, job in changed:
        queue.changed(job)
    for name in {job.queue for _, job in changed if job.status == "queued"}:
        ring(name)


def expired_leases(session: Session, table: type[J]) -> Select[J]:
    return select(table).where(table.status == "running", has_expired(session, table))


def has_expired(session: Session, table: type[Job]) -> ColumnElement[bool]:
    """A lease that ends too far ahead was written before the clock was set back; it counts as expired too."""
    moment, longest = clock(session), timedelta(seconds=2 * get_settings().lease_seconds)
    return or_(table.lease_until < moment, table.lease_until > moment + longest)


def reap(session: Session, table: type[J]) -> list[J]:
    """Jobs whose lease ran out: queued again, failed with a reason, or cancelled or paused when that was asked for."""
    jobs = list(session.scalars(expired_leases(session, table)))
    changed = []
    for job in jobs:
        becomes: Any = table.status_when_released()
        error: Any = null()
        if job.attempt >= MAX_ATTEMPTS:
            becomes = case((becomes == "queued", "failed"), else_=becomes)
            error = case((becomes == "failed", literal(table.failure_message, MessageJSON())), else_=null())
        done = session.execute(
            update(table)
            .where(
                table.id == job.id,
                table.status == "running",
                table.token == job.token,
                has_expired(session, table),
            )
            .values(
                status=becomes,
                finished_at=case((becomes.in_(["failed", "cancelled"]), literal(now(), UTCDateTime())), else_=null()),
                error=error,
                token=None,
                lease_until=None,
                step=0,
            )
        )
        if done.rowcount:  # type: ignore[attr-defined]
            changed.append(job)
    session.flush()
    for job in changed:
        session.refresh(job)
        log.warning("lease_expired", job=job.id, attempt=job.attempt, now=job.status)
    return changed
