"""Generation jobs: submit, look, cancel. Takes a session and never commits; the worker's half is in `workers`."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import datetime
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
from app.errors import Conflict, Invalid, NotFound, TooMany, invalid_params
from app.generations.schemas import GenerationIn, GenerationOut, Inputs, PictureIn, Progress
from app.generations.tables import FINISHED, UNFINISHED, Generation
from app.security import Principal
from app.settings import get_settings
from app.uploads import service as uploads
from app.uploads.tables import Upload
from app.users.tables import User
from models.contract.tasks import SamplingParams, Task

RETRY_SECONDS = 30


def submit(
    session: Session, user: Principal, given: GenerationIn, idempotency_key: str | None, request_id: str = ""
) -> tuple[Generation, bool]:
    """(job, whether it is new). Every default is resolved now, the seed too, and the checkpoint pinned by its hash.

    Raises NotFound, Invalid with the fields, TooMany over the quota, Conflict for a key used with another body.
    """
    canonical = json.dumps(given.model_dump(), sort_keys=True, ensure_ascii=True).encode()
    fingerprint = hashlib.sha256(canonical).hexdigest()
    if idempotency_key and (earlier := by_key(session, user, idempotency_key, fingerprint)):
        return earlier, False  # also when what it asked for is no longer there
    checkpoint, task, params, inputs = checked(session, user, given)
    unfinished = session.scalar(
        select(func.count()).where(Generation.user_id == user.id, Generation.status.in_(UNFINISHED))
    )
    if (unfinished or 0) >= get_settings().max_queued_per_user:
        raise TooMany("You have too many unfinished jobs; wait for some to end", retry_after=RETRY_SECONDS)
    if params.seed is None:
        params.seed = secrets.randbelow(2**32)
    job = Generation(
        user_id=user.id,
        model=checkpoint.name,
        task=task.name,
        checkpoint_sha256=checkpoint.sha256,
        params=params.model_dump(mode="json"),
        inputs=inputs,
        count=params.count,
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
    uploads.mark_used(session, {image["upload"] for image in inputs.get("images", []) if "upload" in image})
    return job, True


def checked(
    session: Session, user: Principal, given: GenerationIn
) -> tuple[Checkpoint, Task, SamplingParams, dict[str, Any]]:
    """(checkpoint, task, parameters, inputs) of a request. Raises NotFound, Invalid with the fields."""
    checkpoint = checkpoints.get(given.model)
    task, params = fitting(checkpoint, given.task, given.params, len(given.inputs.images))
    return checkpoint, task, params, resolved(session, user, given.inputs)


def fitting(checkpoint: Checkpoint, name: str, given: dict[str, Any], pictures: int) -> tuple[Task, SamplingParams]:
    """A task of a checkpoint, and its parameters where they fit both and so many pictures. Raises NotFound, Invalid
    with the fields.
    """
    task = checkpoint.task(name)
    try:
        params = task.params.model_validate(given)
    except ValidationError as error:
        raise invalid_params(error) from error
    check_choices(task.choices(checkpoint.card), params)
    check_pictures(task, params, pictures)
    return task, params


def check_choices(choices: dict[str, list[str]], params: BaseModel) -> None:
    """Raises Invalid for what this checkpoint does not have."""
    for name, allowed in choices.items():
        if (value := getattr(params, name)) is not None and value not in allowed:
            why = f"This model knows {', '.join(allowed)}" if allowed else "This model has none to choose from"
            raise Invalid("The parameters do not fit the task", errors=[{"loc": ["body", "params", name], "msg": why}])


def resolved(session: Session, user: Principal, given: Inputs) -> dict[str, Any]:
    """The pictures of a request with their SHA-256, as the job keeps them. Raises Invalid, by the fields."""
    found = []
    for number, image in enumerate(given.images):
        try:
            picture = source(session, user, image)
        except NotFound as error:
            place = ["body", "inputs", "images", number]
            raise Invalid(error.detail, errors=[{"loc": place, "msg": error.detail}]) from error
        found.append({**image.model_dump(exclude_none=True), "sha256": picture.sha256})
    return {"images": found} if found else {}


def check_pictures(task: Task, params: SamplingParams, pictures: int) -> None:
    """Raises Invalid where the task takes another number of them, or they have other weights."""
    least, most = task.images
    if not least <= pictures <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        why = f"This task takes {wanted} pictures" if most else "This task takes no pictures"
        raise Invalid(why, errors=[{"loc": ["body", "inputs", "images"], "msg": why}])
    for name in params.weights_of_pictures():
        if (weights := getattr(params, name)) is not None and len(weights) != pictures:
            why = "There must be one weight for each picture"
            raise Invalid(why, errors=[{"loc": ["body", "params", name], "msg": why}])


def source(session: Session, user: Principal, image: PictureIn) -> Artwork | Upload:
    """The picture to work from. Raises NotFound."""
    if image.artwork:
        return artworks.get(session, user, image.artwork)
    return uploads.get(session, user, image.upload or "")


def named(inputs: dict[str, Any]) -> Inputs:
    """As the request had them."""
    return Inputs(
        images=[
            PictureIn(artwork=image.get("artwork"), upload=image.get("upload")) for image in inputs.get("images", [])
        ]
    )


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
    session: Session, user: Principal, before: str | None, limit: int, status: str | None = None
) -> tuple[list[Generation], str | None]:
    """(newest first, id that the next page starts after)."""
    query = select(Generation).where(Generation.user_id == user.id).order_by(Generation.id.desc()).limit(limit + 1)
    if before:
        query = query.where(Generation.id < before)
    if status:
        query = query.where(Generation.status == status)
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
        raise Conflict(f"The job has {job.status} already; its pictures stay")
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
        raise Conflict(f"The job has {job.status} already; its pictures stay")
    return job


def queue_positions(session: Session, jobs: list[Generation]) -> dict[str, int]:
    """Of those that are queued, how many queued jobs will start before each, by the order in which workers claim."""
    found: dict[str, int] = {}
    for user_id, queue in {(job.user_id, job.queue) for job in jobs if job.status == "queued"}:
        waits = (Generation.status == "queued", Generation.queue == queue)
        own = session.scalars(
            select(Generation.id)
            .where(Generation.user_id == user_id, *waits)
            .order_by(Generation.priority.desc(), Generation.id)
        )
        others = session.execute(
            select(func.count(Generation.id), User.served_at)
            .join(User, User.id == Generation.user_id)
            .where(Generation.user_id != user_id, *waits)
            .group_by(User.id, User.served_at)
        )
        served_at = session.get_one(User, user_id).served_at
        # Users take turns, least recently served first.
        turns = [(count, is_sooner(theirs, served_at)) for count, theirs in others]
        for before, job in enumerate(own):
            found[job] = before + sum(min(count, before + sooner) for count, sooner in turns)
    return found


def is_sooner(theirs: datetime | None, own: datetime | None) -> bool:
    return theirs is None or (own is not None and theirs < own)


def artworks_of(session: Session, jobs: list[Generation]) -> dict[str, list[Artwork]]:
    found: dict[str, list[Artwork]] = {job.id: [] for job in jobs}
    query = select(Artwork).where(Artwork.generation_id.in_(found), Artwork.deleted_at.is_(None))
    for artwork in session.scalars(query.options(artworks.BRIEF).order_by(Artwork.position)):
        found[artwork.generation_id or ""].append(artwork)
    return found


def artworks_of_job(session: Session, job_id: str) -> list[Artwork]:
    query = select(Artwork).options(artworks.BRIEF).where(Artwork.generation_id == job_id, Artwork.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Artwork.position)))


def describe(session: Session, jobs: list[Generation]) -> list[GenerationOut]:
    works, positions = artworks_of(session, jobs), queue_positions(session, jobs)
    return [
        GenerationOut(
            id=job.id,
            status=job.status,
            model=job.model,
            task=job.task,
            params=job.params,
            inputs=named(job.inputs),
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
