"""Leases of workers that died go back to the queue; jobs that wait for a model that nobody has end at last.

Runs as a thread in web and worker processes, not as a task: it must work when the queue does not.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import ColumnElement, Select, case, literal, null, or_, select, update
from sqlalchemy.orm import Session

from app.checkpoints import distribution
from app.database import UTCDateTime, clock, now, session_scope
from app.events import StatusEvent, publish
from app.generations.tables import Generation
from app.generations.waiting import fail_waiting
from app.jobs import Job
from app.outages import in_words
from app.queue import ring
from app.settings import get_settings
from app.training_runs.tables import TrainingRun
from app.upkeep import tidy
from app.users.service import touch_keys

J = TypeVar("J", bound=Job)
MAX_ATTEMPTS = 3
JOBS: tuple[type[Generation] | type[TrainingRun], ...] = (Generation, TrainingRun)
log = structlog.get_logger()


def sweep_forever(stop: threading.Event) -> None:
    """Until `stop` is set. An error is logged and the next round tries again."""
    while not stop.wait(get_settings().sweep_seconds):
        for work in (sweep, give_up_waiting, touch_keys, distribution.follow, tidy):
            try:
                work()
            except Exception as error:
                log.warning("sweep_failed", part=work.__name__, error=in_words(error))


def sweep() -> None:
    """One round: expired leases back to the queue, or failed after MAX_ATTEMPTS."""
    with session_scope(writing=False) as session:
        expired = any(session.scalars(expired_leases(session, table).limit(1)).first() for table in JOBS)
    if not expired:
        return
    with session_scope() as session:
        changed = [job for table in JOBS for job in reap(session, table)]
    for job in changed:
        if isinstance(job, Generation):  # who watches a training run looks at its row
            publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))
    for queue in {job.queue for job in changed if job.status == "queued"}:
        ring(queue)


def give_up_waiting() -> None:
    """A job whose model no worker has waits for one that does, but not for ever: every job ends."""
    hours = get_settings().model_wait_hours
    long_ago = now() - timedelta(hours=hours)
    with session_scope(writing=False) as session:
        query = select(Generation.model, Generation.checkpoint_sha256).distinct()
        waits = (Generation.status == "queued", Generation.created_at < long_ago, Generation.notice.is_not(None))
        found = session.execute(query.where(*waits)).all()
    for model, sha256 in found:
        with session_scope() as session:
            ended = fail_waiting(
                session,
                model,
                why=f"No worker has had the model {model} for {hours} hours",
                only=sha256,
                before=long_ago,
            )
        for job in ended:
            publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))
        log.warning("waited_too_long", model=model, jobs=len(ended))


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
        becomes: Any = table.let_go()
        error = None
        if job.attempt >= MAX_ATTEMPTS:
            becomes = case((becomes == "queued", "failed"), else_=becomes)
            error = table.given_up
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
                error=case((becomes == "failed", error), else_=null()),
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
