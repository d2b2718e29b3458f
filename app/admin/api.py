"""/api/v1/workers, /api/v1/queue and /api/v1/storage, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, status
from pydantic import BaseModel, ConfigDict, Field

from app.admin import overview, storage
from app.admin import queue as service
from app.admin.queue import Place
from app.database import session_scope
from app.generations import service as generations
from app.generations.streams import status_event
from app.generations.tables import Generation
from app.jobs import pauses
from app.jobs.events import publish
from app.jobs.queue import ring
from app.machines import liveness
from app.users.deps import Admin
from app.web.parameters import Id
from app.web.routing import Router

router = Router(tags=["admin"])
QueueName = Annotated[str, Path(max_length=40)]
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"description": "It waits no more"}}


class WorkerOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    queue: str
    device: str
    memory_total: int
    memory_used: int
    models: list[str]
    speed: float | None = Field(description="Of training, against two CPU cores; none where it was not measured")
    started_at: datetime
    seen_at: datetime
    claimed_at: datetime | None = Field(description="When it took its last job")


class WorkerList(BaseModel):
    items: list[WorkerOut]
    next_cursor: str | None = None


class QueuedJob(BaseModel):
    id: str
    user: str
    status: str
    queue: str
    model: str
    count: int
    attempt: int
    created_at: datetime

    @classmethod
    def of(cls, job: Generation, user: str) -> QueuedJob:
        kept = {name: getattr(job, name) for name in cls.model_fields if name != "user"}
        return cls(user=user, **kept)


class PlaceIn(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"place": "first"}]})

    place: Place


class RunStorageOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    status: str
    bytes: int
    state_bytes: int = Field(description="Of these, what only resuming or extending it would need")


class StorageOut(BaseModel):
    """In bytes."""

    works: int
    datasets: int
    free: int
    total: int
    runs: list[RunStorageOut]
    checkpoints: dict[str, int] = Field(description="Of those that did not come with the studio")


class TidyingOut(BaseModel):
    bytes: int = Field(description="That were freed")


class QueueOut(BaseModel):
    items: list[QueuedJob]
    paused: list[str] = Field(description="Queues from which nothing is begun for now")
    next_cursor: str | None = None


@router.get("/workers", summary="Workers with device and memory (admin)")
def list_workers(admin: Admin) -> WorkerList:
    with session_scope(writing=False) as session:
        return WorkerList(items=[WorkerOut.model_validate(worker) for worker in liveness.workers(session)])


@router.get("/queue", summary="Unfinished jobs of everyone, without their prompts (admin)")
def queue(admin: Admin) -> QueueOut:
    with session_scope(writing=False) as session:
        items = [QueuedJob.of(job, name) for job, name in overview.unfinished(session)]
        return QueueOut(items=items, paused=pauses.paused(session))


@router.put("/queue/pauses/{queue}", status_code=status.HTTP_204_NO_CONTENT, summary="Begin nothing of a queue (admin)")
def pause_queue(admin: Admin, queue: QueueName) -> None:
    """Jobs go on to be taken in; those that run go on."""
    set_paused(queue, True)


@router.delete("/queue/pauses/{queue}", status_code=status.HTTP_204_NO_CONTENT, summary="Let a queue go on (admin)")
def resume_queue(admin: Admin, queue: QueueName) -> None:
    set_paused(queue, False)


@router.patch(
    "/queue/{job_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Move a job (admin)", responses=CONFLICT
)
def move_job(admin: Admin, job_id: Id, wanted: PlaceIn) -> None:
    """A job or a training run."""
    move(job_id, wanted.place)


@router.post(
    "/queue/{job_id}/cancellation",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Cancel anyone's job (admin)",
    responses=CONFLICT,
)
def cancel_job(admin: Admin, job_id: Id) -> None:
    cancel(job_id)


@router.get("/storage", summary="What takes room on the disk (admin)")
def get_storage_used(admin: Admin) -> StorageOut:
    with session_scope(writing=False) as session:
        room = overview.room(session)
    return StorageOut(
        **{name: getattr(room, name) for name in ("works", "datasets", "free", "total")},
        runs=[RunStorageOut.model_validate(run) for run in storage.runs()],
        checkpoints=storage.checkpoints(),
    )


@router.post("/storage/tidying", summary="Delete what finished runs would need to be extended (admin)")
def tidy(admin: Admin) -> TidyingOut:
    """Their models, curves and samples stay."""
    return TidyingOut(bytes=storage.tidy_all())


def cancel(job_id: str) -> None:
    with session_scope() as session:
        job = service.cancel(session, service.get(session, job_id))
        event = status_event(generations.describe_one(session, job)) if isinstance(job, Generation) else None
        user = job.user_id if isinstance(job, Generation) else ""
    if event:
        publish(user, event)


def move(job_id: str, place: Place) -> None:
    with session_scope() as session:
        service.move(session, service.get(session, job_id), place)


def set_paused(queue: str, paused: bool) -> None:
    with session_scope() as session:
        service.set_paused(session, queue, paused)
    if not paused:
        ring(queue)
