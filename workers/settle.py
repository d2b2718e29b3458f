"""How a job ends: its works are stored, then one transaction names them and ends the job, or neither."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import structlog

from app.artworks import search
from app.artworks.tables import Artwork, Source
from app.database import new_id, session_scope, storage_lock
from app.generations.inputs import every
from app.generations.tables import Generation
from app.jobs.events import StatusEvent, publish
from app.jobs.sweeper import MAX_ATTEMPTS
from app.media import MEDIA, encoded
from app.storage import get_storage
from models.contract.message import Message
from models.contract.sampling import Output, Request
from workers import crash_points, lease, loop
from workers.lease import Lease
from workers.provenance import portable, provenance

FRESH_SECONDS = 1800.0  # a file is collected after an hour that nobody names it
log = structlog.get_logger()


@dataclass(frozen=True)
class Made:
    """A work that was sampled, for one of a job's requests; with `batch` - 1 others at once."""

    request: Request
    output: Output
    batch: int


def settle(taken: Lease[Generation], works: list[Made]) -> None:
    """Store a job's works and end it, where the lease is still ours; a job that is to be cancelled keeps none."""
    if taken.state in lease.GONE:
        return
    if taken.state == "cancelled":
        with session_scope() as session:
            ended = lease.end(session, taken, "cancelled")
        if ended:
            publish(taken.row.user_id, StatusEvent(generation=taken.job, status="cancelled"))
        taken.state = "settled"
        return
    kept = [artwork_of(taken, work) for work in works]
    contents = [content for _, files in kept for content in files]
    get_storage().put_all(contents)  # outside of the transaction: others write meanwhile
    stored_at = time.time()
    for _ in contents:
        crash_points.reach("stored")
    rows = [row for row, _ in kept]
    with session_scope() as session:
        storage_lock(session)
        if time.time() - stored_at > FRESH_SECONDS:  # they may have been collected, as files that nobody named
            get_storage().put_all(contents)
        remark = next((work.output.remark for work in works if work.output.remark), None)
        if not lease.end(session, taken, "succeeded", notice=remark):
            log.warning("finished_without_lease", job=taken.job)
            return
        session.add_all(rows)
        session.flush()
        sources = sorted(every(taken.row.inputs, "artwork"))
        session.add_all(Source(artwork_id=row.id, source_id=source) for row in rows for source in sources)
        session.flush()
        crash_points.reach("before_commit")
    taken.state = "settled"
    crash_points.reach("committed")
    publish(taken.row.user_id, StatusEvent(generation=taken.job, status="succeeded", artworks=[row.id for row in rows]))


def artwork_of(taken: Lease[Generation], work: Made) -> tuple[Artwork, list[bytes]]:
    """(the row that will name it, its file with its provenance, and a poster where it is none itself)."""
    job = taken.row
    medium = MEDIA[work.output.value.medium]
    assert medium.sign is not None, "what a task gives can be kept"
    kept = encoded(work.output.value)
    made = provenance(
        model=job.model,
        checkpoint_sha256=job.checkpoint_sha256,
        request=work.request,
        params=job.params,
        inputs=job.inputs,
        enlarge=job.enlarge,
        kept=kept,
        output=work.output,
        batch=work.batch,
    )
    content = medium.sign(kept.content, portable(made))
    poster = None if medium.is_own_poster or medium.poster is None else medium.poster(kept.content, kept.media_type)
    row = Artwork(
        id=new_id(),
        user_id=job.user_id,
        generation_id=job.id,
        position=work.request.index,
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=kept.media_type,
        size_bytes=len(content),
        width=kept.width,
        height=kept.height,
        facts=kept.facts,
        poster_sha256=hashlib.sha256(poster).hexdigest() if poster else None,
        title="",
        subject=job.subject,
        tags=[],
        model=job.model,
        task=job.task,
        seed=made["seed"],
        provenance=made,
    )
    search.index(row)
    return row, [content, poster] if poster else [content]


def release(leases: list[Lease[Generation]], notice: Message | None = None) -> None:
    """Back to the queue at no cost to the jobs."""
    for taken in leases:
        if taken.state in lease.GONE:
            continue
        with session_scope() as session:
            status = lease.release(session, taken, spare_attempt=True, notice=notice)
        taken.state = "settled"
        if status and notice is None:
            publish(taken.row.user_id, StatusEvent(generation=taken.job, status=status))


def fail(taken: Lease[Generation], why: Message, final: bool = False) -> None:
    """Back to the queue while attempts are left, else failed with a reason."""

    def end() -> str | None:
        with session_scope() as session:
            if final or taken.attempt >= MAX_ATTEMPTS:
                return "failed" if lease.end(session, taken, "failed", why) else None
            return lease.release(session, taken)

    if taken.state in lease.GONE:
        return
    status = loop.patiently(end)
    taken.state = "settled"
    if status:
        error = why if status == "failed" else None
        publish(taken.row.user_id, StatusEvent(generation=taken.job, status=status, error=error))
