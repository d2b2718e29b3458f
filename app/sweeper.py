"""Looks for what got lost: queued jobs without a doorbell, leases of dead workers, files that nothing names.

Runs as a thread in web and worker processes, not as a task: it must work when the queue does not.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, Select, or_, select, update
from sqlalchemy.orm import Session

from app.artworks.tables import Artwork
from app.database import clock, now, session_scope, storage_lock
from app.datasets.tables import DatasetItem
from app.events import StatusEvent, client, publish
from app.generations.tables import Generation
from app.queue import ring
from app.settings import get_settings
from app.storage import get_storage
from app.uploads.tables import Upload

MAX_ATTEMPTS = 3
UNTOUCHED_SECONDS = 3600.0
COLLECT_EVERY = 600.0
GIVEN_UP = (
    "The worker that drew this stopped three times in a row, perhaps for lack of memory. "
    "Try fewer pictures at once, or ask an admin to look at the log."
)
log = structlog.get_logger()


def sweep_forever(stop: threading.Event) -> None:
    """Until `stop` is set. An error is logged and the next round tries again."""
    collected = time.monotonic()
    while not stop.wait(get_settings().sweep_seconds):
        try:
            sweep()
            if time.monotonic() - collected > COLLECT_EVERY:
                collected = time.monotonic()
                collect_garbage()
        except Exception as error:
            log.warning("sweep_failed", error=str(error))


def sweep() -> None:
    """One round: expired leases back to the queue, or failed after MAX_ATTEMPTS; then ring for what waits."""
    with session_scope(writing=False) as session:
        expired = list(session.scalars(expired_leases(session)))
        waiting = set(
            session.scalars(
                select(Generation.queue)
                .distinct()
                .where(Generation.status == "queued", Generation.created_at < now() - timedelta(seconds=2))
            )
        )
    if expired:
        with session_scope() as session:
            ended = reap(session)
        for job in ended:
            publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))
        waiting |= {job.queue for job in ended if job.status == "queued"}
    for queue in waiting:
        if doorbells(queue) == 0:
            ring(queue)


def expired_leases(session: Session) -> Select[Generation]:
    return select(Generation).where(Generation.status == "running", has_expired(session))


def has_expired(session: Session) -> ColumnElement[bool]:
    """A lease that ends too far ahead was written before the clock was set back; it counts as expired too."""
    moment, longest = clock(session), timedelta(seconds=2 * get_settings().lease_seconds)
    return or_(Generation.lease_until < moment, Generation.lease_until > moment + longest)


def reap(session: Session) -> list[Generation]:
    """Jobs whose lease ran out: queued again, failed with a reason, or cancelled when that was asked for."""
    jobs = list(session.scalars(expired_leases(session)))
    changed = []
    for job in jobs:
        if job.cancel_requested:
            values = {"status": "cancelled", "finished_at": now()}
        elif job.attempt >= MAX_ATTEMPTS:
            values = {"status": "failed", "finished_at": now(), "error": GIVEN_UP}
        else:
            values = {"status": "queued"}
        done = session.execute(
            update(Generation)
            .where(
                Generation.id == job.id,
                Generation.status == "running",
                Generation.token == job.token,
                has_expired(session),
            )
            .values(token=None, lease_until=None, step=0, **values)
        )
        if done.rowcount:  # type: ignore[attr-defined]
            log.warning("lease_expired", job=job.id, attempt=job.attempt, now=values["status"])
            changed.append(job)
    session.flush()
    for job in changed:
        session.refresh(job)
    return changed


def doorbells(queue: str) -> int:
    """Messages that wait on a queue; 0 when Redis is away (a ring is then only logged)."""
    try:
        return int(client().llen(f"danqing:{queue}"))
    except Exception as error:
        log.warning("queue_length_unknown", queue=queue, error=str(error))
        return 0


def collect_garbage(untouched_seconds: float = UNTOUCHED_SECONDS) -> int:
    """Delete files that nobody touched for an hour and no row names; returns how many."""
    deleted = 0
    for digest in get_storage().untouched_for(untouched_seconds):
        with session_scope(writing=False) as session:
            if is_named(session, digest):
                continue
        with session_scope() as session:
            storage_lock(session, exclusive=True)
            age = get_storage().age(digest)
            if age is not None and age >= untouched_seconds and not is_named(session, digest):
                get_storage().delete(digest)
                deleted += 1
    return deleted


def is_named(session: Session, digest: str) -> bool:
    tables = (Artwork, Upload, DatasetItem)
    return any(session.scalar(select(table.id).where(table.sha256 == digest).limit(1)) for table in tables)
