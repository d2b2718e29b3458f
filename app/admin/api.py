"""/api/v1/workers and /api/v1/queue, for admins"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.admin import overview
from app.database import session_scope
from app.machines import liveness
from app.users.deps import Admin
from app.web.routing import Router

router = Router(tags=["admin"])


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


class QueueOut(BaseModel):
    items: list[QueuedJob]
    next_cursor: str | None = None


@router.get("/workers", summary="Workers with device and memory (admin)")
def list_workers(admin: Admin) -> WorkerList:
    with session_scope(writing=False) as session:
        return WorkerList(items=[WorkerOut.model_validate(worker) for worker in liveness.workers(session)])


@router.get("/queue", summary="Unfinished jobs of everyone, without their prompts (admin)")
def queue(admin: Admin) -> QueueOut:
    with session_scope(writing=False) as session:
        return QueueOut(
            items=[
                QueuedJob(
                    id=job.id,
                    user=name,
                    status=job.status,
                    queue=job.queue,
                    model=job.model,
                    count=job.count,
                    attempt=job.attempt,
                    created_at=job.created_at,
                )
                for job, name in overview.unfinished(session)
            ]
        )
