"""Generation jobs: submit, look, cancel. Takes a session and never commits; the worker's half is in `workers`."""

from __future__ import annotations

import hashlib
import json
import secrets
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.artworks import service as artworks
from app.artworks.schemas import ArtworkBrief
from app.artworks.tables import Artwork
from app.checkpoints import service as checkpoints
from app.checkpoints.service import Checkpoint
from app.database import now
from app.errors import Conflict, Invalid, NotFound, TooMany
from app.generations import adapters, enlarging, inputs, turns
from app.generations.inputs import KeptInputs, every
from app.generations.schemas import GenerationIn, GenerationOut, Progress
from app.generations.tables import FINISHED, UNFINISHED, Generation
from app.security import Principal
from app.settings import get_settings
from app.uploads import quota
from app.uploads import service as uploads
from app.validation import invalid_params
from models.contract.message import Message
from models.contract.tasks import SamplingParams, Task

RETRY_SECONDS = 30


def submit(
    session: Session, user: Principal, given: GenerationIn, idempotency_key: str | None, request_id: str = ""
) -> tuple[Generation, bool]:
    """(job, whether it is new). Every default is resolved now, the seed too, and the checkpoint pinned by its hash.

    Raises NotFound, Invalid with the fields, TooMany over the quota, Conflict for a key used with another body.
    """
    fingerprint = fingerprint_of(given)
    if idempotency_key and (earlier := by_key(session, user, idempotency_key, fingerprint)):
        return earlier, False  # also when what it asked for is no longer there
    asked = checked(session, user, given)
    return queued(session, user, asked, fingerprint, idempotency_key, request_id)


def queued(
    session: Session,
    user: Principal,
    asked: Asked,
    fingerprint: str,
    idempotency_key: str | None = None,
    request_id: str = "",
) -> tuple[Generation, bool]:
    """(job, whether it is new) of what was checked. Raises TooMany over the quota, Conflict for a key used with another
    body.
    """
    check_quota(session, user, asked.cost)
    quota.check(session, user.id)
    if asked.params.seed is None:
        asked.params.seed = secrets.randbelow(2**32)
    job = Generation(
        user_id=user.id,
        model=asked.checkpoint.name,
        task=asked.task.name,
        checkpoint_sha256=asked.checkpoint.sha256,
        params=asked.params.model_dump(mode="json"),
        inputs=asked.inputs,
        enlarge=asked.enlarge,
        count=asked.params.count,
        cost=asked.cost,
        batch_key=asked.batch_key,
        subject=subject(asked.params, asked.checkpoint.title, inputs.subject(session, asked.inputs)),
        idempotency_key=idempotency_key,
        request_hash=fingerprint,
        request_id=request_id,
    )
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:
        earlier = by_key(session, user, idempotency_key or "", fingerprint)
        if earlier is None:
            raise
        return earlier, False
    uploads.mark_used(session, every(asked.inputs, "upload"))
    return job, True


def fingerprint_of(given: GenerationIn) -> str:
    """The same for the same request, also as versions before read it."""
    return hash_of(given.model_dump(exclude=set() if given.enlarge else {"enlarge"}))


def hash_of(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def subject(params: SamplingParams, title: str, source: str = "") -> str:
    """What a work is to be of, in words, its parameters' or those of the work that it is made from; empty where it is
    what its model usually makes.
    """
    said = params.subject() or source
    return said if params.in_part("prompt") or not said else f"{said} · {title}"


def check_quota(session: Session, user: Principal, cost: int) -> None:
    """Raises TooMany for too many unfinished jobs, or too large ones; a single one may be as large as it likes."""
    settings = get_settings()
    waits = (Generation.user_id == user.id, Generation.status.in_(UNFINISHED))
    jobs, costs = session.execute(select(func.count(), func.coalesce(func.sum(Generation.cost), 0)).where(*waits)).one()
    if jobs >= settings.max_queued_per_user or (jobs and costs + cost > settings.max_queued_cost_per_user):
        raise TooMany("You have too many unfinished jobs; wait for some to end", retry_after=RETRY_SECONDS)


@dataclass(frozen=True)
class Asked:
    """A request that was checked."""

    checkpoint: Checkpoint
    task: Task
    params: SamplingParams
    inputs: KeptInputs
    enlarge: dict[str, Any]
    cost: int
    batch_key: str


def checked(session: Session, user: Principal, given: GenerationIn) -> Asked:
    """Raises NotFound, Invalid with the fields."""
    checkpoint = checkpoints.get(given.model)
    counts = {role: len(found) for role, found in given.inputs.items()}
    task, params = fitting(checkpoint, given.task, given.params, counts)
    kept, sizes = inputs.checked(session, user, task, given.inputs)
    if found := task.problem(params, sizes):
        inputs.refuse(*found)
    key = task.batch_key(params, sizes) if task.batch_key else task.name
    enlarge = enlarging.resolved(task, checkpoint, given.enlarge)
    cost = max(1, task.cost(params, sizes)) + enlarge.get("cost", 0)
    return Asked(checkpoint, task, params, kept, enlarge, cost * params.count, key)


def fitting(
    checkpoint: Checkpoint, name: str, given: dict[str, Any], counts: Mapping[str, int]
) -> tuple[Task, SamplingParams]:
    """A task of a checkpoint, and its parameters where they fit both and so many inputs. Raises NotFound, Invalid with
    the fields.
    """
    task = checkpoint.task(name)
    try:
        params = task.params.model_validate(given)
    except ValidationError as error:
        raise invalid_params(error) from error
    fits(task, checkpoint, params)
    inputs.check_counts(task, params, counts)
    return task, params


def fits(task: Task, checkpoint: Checkpoint, params: SamplingParams) -> None:
    """Raises Invalid for what this checkpoint does not have."""
    check_choices(task.choices(checkpoint.card), params)
    adapters.resolve(params, checkpoint)


def check_choices(choices: dict[str, list[str]], params: BaseModel) -> None:
    """Raises Invalid for what this checkpoint does not have."""
    for name, allowed in choices.items():
        if (value := getattr(params, name)) is not None and value not in allowed:
            why = Message("This model has none to choose from")
            if allowed:
                why = Message("This model knows {names}", names=", ".join(allowed))
            raise Invalid("The parameters do not fit the task", errors=[{"loc": ["body", "params", name], "msg": why}])


def by_key(session: Session, user: Principal, key: str, fingerprint: str) -> Generation | None:
    earlier = session.scalar(select(Generation).where(Generation.user_id == user.id, Generation.idempotency_key == key))
    if earlier and earlier.request_hash != fingerprint:
        raise Conflict("This Idempotency-Key was used with another request")
    return earlier


def get(session: Session, user: Principal, job_id: str) -> Generation:
    """Raises NotFound also for another user's job."""
    job = session.get(Generation, job_id)
    if job is None or job.user_id != user.id:
        raise NotFound("There is no such generation")
    return job


def page(
    session: Session,
    user: Principal,
    before: str | None,
    limit: int,
    status: str | None = None,
    with_cells: bool = True,
) -> tuple[list[Generation], str | None]:
    """(newest first, id that the next page starts after), with or without those of grids."""
    query = select(Generation).where(Generation.user_id == user.id).order_by(Generation.id.desc()).limit(limit + 1)
    if before:
        query = query.where(Generation.id < before)
    if status:
        query = query.where(Generation.status == status)
    if not with_cells:
        query = query.where(Generation.grid_id.is_(None))
    found = list(session.scalars(query))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def unfinished(session: Session, user: Principal) -> list[Generation]:
    query = select(Generation).where(Generation.user_id == user.id, Generation.status.in_(UNFINISHED))
    return list(session.scalars(query.order_by(Generation.id)))


def ended(session: Session, user: Principal, ids: set[str]) -> list[Generation]:
    """Those of these jobs that have ended."""
    query = select(Generation).where(
        Generation.user_id == user.id, Generation.id.in_(ids), Generation.status.in_(FINISHED)
    )
    return list(session.scalars(query)) if ids else []


def cancel(session: Session, job: Generation) -> Generation:
    """A queued job ends now, a running one at its worker's next look. Raises Conflict after the end."""
    if job.status == "cancelled":
        return job
    if job.status in FINISHED:
        raise Conflict("The job has already {status}; its pictures stay", status=Message(job.status))
    ended = session.execute(
        update(Generation)
        .where(Generation.id == job.id, Generation.status == "queued")
        .values(status="cancelled", cancel_requested=True, finished_at=now())
    )
    if ended.rowcount == 0:  # type: ignore[attr-defined]
        session.execute(
            update(Generation)
            .where(Generation.id == job.id, Generation.status == "running")
            .values(cancel_requested=True)
        )
    session.refresh(job)
    if job.status in ("succeeded", "failed"):
        raise Conflict("The job has already {status}; its pictures stay", status=Message(job.status))
    return job


def queue_positions(session: Session, jobs: list[Generation]) -> dict[str, int]:
    """Of those that are queued, how many queued jobs will start before each, by the order in which workers claim."""
    found: dict[str, int] = {}
    for user_id, queue in {(job.user_id, job.queue) for job in jobs if job.status == "queued"}:
        waits = (Generation.status == "queued", Generation.queue == queue)
        own = list(session.execute(turns.of_jobs(session, *waits, Generation.user_id == user_id)))
        last = max((turn for _, turn in own), default=0)
        theirs = turns.of_jobs(session, *waits, Generation.user_id != user_id).subquery()
        others = sorted((turn, job) for job, turn in session.execute(select(theirs).where(theirs.c.turn <= last)))
        for before, (job, turn) in enumerate(own):
            found[job] = before + bisect_left(others, (turn, job))
    return found


def artworks_of(session: Session, jobs: list[Generation]) -> dict[str, list[Artwork]]:
    found: dict[str, list[Artwork]] = {job.id: [] for job in jobs}
    query = select(Artwork).where(Artwork.generation_id.in_(found), Artwork.deleted_at.is_(None))
    for artwork in session.scalars(query.options(artworks.BRIEF).order_by(Artwork.position)):
        found[artwork.generation_id or ""].append(artwork)
    return found


def artworks_of_job(session: Session, job_id: str) -> list[Artwork]:
    query = select(Artwork).options(artworks.BRIEF).where(Artwork.generation_id == job_id, Artwork.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Artwork.position)))


def notice_of(session: Session, user: Principal, job_id: str) -> Message | None:
    """What was said of an own job when it was done."""
    job = session.get(Generation, job_id)
    return job.notice if job and job.user_id == user.id else None


def describe(session: Session, jobs: list[Generation]) -> list[GenerationOut]:
    works, positions = artworks_of(session, jobs), queue_positions(session, jobs)
    return [
        GenerationOut(
            id=job.id,
            status=Message(job.status),
            model=job.model,
            task=job.task,
            subject=job.subject,
            params=job.params,
            inputs=inputs.named(job.inputs),
            enlarge=enlarging.asked(job.enlarge),
            grid=job.grid_id,
            cost=job.cost,
            progress=Progress(step=job.step, total=job.total),
            queue_position=positions.get(job.id),
            error=job.error,
            notice=job.notice,
            artworks=[ArtworkBrief.model_validate(work) for work in works[job.id]],
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )
        for job in jobs
    ]


def describe_one(session: Session, job: Generation) -> GenerationOut:
    return describe(session, [job])[0]
