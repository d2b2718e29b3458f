"""Looks for what got lost: queued jobs without a doorbell, leases of dead workers, files that nothing names.

Runs as a thread in web and worker processes, not as a task: it must work when the queue does not.
"""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import ColumnElement, Select, case, delete, literal, null, or_, select, update
from sqlalchemy.orm import Session

from app.artworks.tables import Artwork
from app.database import UTCDateTime, clock, now, session_scope, storage_lock
from app.datasets.tables import DatasetItem
from app.events import StatusEvent, client, publish
from app.generations.tables import Generation
from app.imaging import forget_previews
from app.jobs import Job
from app.queue import ring
from app.settings import get_settings
from app.storage import get_storage
from app.training_runs.tables import TrainingRun
from app.uploads.tables import Upload
from models.folders import WRITING

J = TypeVar("J", bound=Job)
MAX_ATTEMPTS = 3
UNTOUCHED_SECONDS, LEFTOVER_SECONDS = 3600.0, 86400.0
COLLECT_EVERY = 600.0
UNUSED_UPLOAD_DAYS = 7
DEEPEST = 4  # folders below the data folder in which things are written: those of a run, and of a preview
JOBS: tuple[type[Generation] | type[TrainingRun], ...] = (Generation, TrainingRun)
log = structlog.get_logger()


def sweep_forever(stop: threading.Event) -> None:
    """Until `stop` is set. An error is logged and the next round tries again."""
    collected = time.monotonic()
    while not stop.wait(get_settings().sweep_seconds):
        try:
            sweep()
            if time.monotonic() - collected > COLLECT_EVERY:
                collected = time.monotonic()
                empty_trash()
                drop_unused_uploads()
                collect_garbage()
                collect_leftovers()
        except Exception as error:
            log.warning("sweep_failed", error=str(error))


def sweep() -> None:
    """One round: expired leases back to the queue, or failed after MAX_ATTEMPTS; then ring for what waits."""
    waiting = set[str]()
    with session_scope(writing=False) as session:
        expired = any(session.scalars(expired_leases(session, table).limit(1)).first() for table in JOBS)
        for table in JOBS:
            young = now() - timedelta(seconds=2)
            waiting |= set(
                session.scalars(
                    select(table.queue).distinct().where(table.status == "queued", table.created_at < young)
                )
            )
    if expired:
        with session_scope() as session:
            changed = [job for table in JOBS for job in reap(session, table)]
        for job in changed:
            if isinstance(job, Generation):  # who watches a training run looks at its row
                publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))
        waiting |= {job.queue for job in changed if job.status == "queued"}
    for queue in waiting:
        if doorbells(queue) == 0:
            ring(queue)


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


def doorbells(queue: str) -> int:
    """Messages that wait on a queue; 0 when Redis is away (a ring is then only logged)."""
    try:
        return int(client().llen(f"danqing:{queue}"))
    except Exception as error:
        log.warning("queue_length_unknown", queue=queue, error=str(error))
        return 0


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
                forget_previews(digest)
                deleted += 1
    return deleted


def collect_leftovers(untouched_seconds: float = LEFTOVER_SECONDS) -> int:
    """Delete what whoever wrote it was killed over: files and folders that are not whole; returns how many."""
    deleted = 0
    data = get_settings().data
    for path in [path for depth in range(DEEPEST) for path in data.glob(f"{'*/' * depth}{WRITING}*")]:
        with suppress(FileNotFoundError):  # it has become whole meanwhile
            touched = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
            if time.time() - touched > untouched_seconds:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                deleted += 1
    return deleted


def is_named(session: Session, digest: str) -> bool:
    tables = (Artwork, Upload, DatasetItem)
    return any(session.scalar(select(table.id).where(table.sha256 == digest).limit(1)) for table in tables)
