"""The queue in the hands of admins: whose jobs wait, which come first, which are cancelled, whether any are begun."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.generations import service as generations
from app.generations.tables import Generation
from app.jobs import pauses
from app.jobs.registry import queues
from app.jobs.table import FINISHED, Job
from app.training_runs import service as training_runs
from app.training_runs.tables import TrainingRun
from models.contract.message import Message

Place = Literal["first", "last"]
CANCELLED = Message("An admin has cancelled it.")


def get(session: Session, job_id: str) -> Job:
    """A job of whatever queue. Raises NotFound."""
    found = (session.get(queue.table, job_id) for queue in queues().values())
    job = next((job for job in found if job is not None), None)
    if job is None:
        raise NotFound("There is no such job")
    return job


def cancel(session: Session, job: Job) -> Job:
    """Its user reads who did it. Raises Conflict after its end."""
    if isinstance(job, TrainingRun):
        return training_runs.cancel(session, job)
    assert isinstance(job, Generation)
    if job.status not in FINISHED:
        job.notice = CANCELLED
        session.flush()
    return generations.cancel(session, job)


def move(session: Session, job: Job, place: Place) -> Job:
    """Before, or behind, all that wait in its queue. Raises Conflict for one that waits no more."""
    table = type(job)
    others = select(func.max(table.priority), func.min(table.priority))
    highest, lowest = session.execute(others.where(table.status == "queued", table.queue == job.queue)).one()
    if highest is not None:
        priority = highest + 1 if place == "first" else lowest - 1
        moved = update(table).where(table.id == job.id, table.status == "queued").values(priority=priority)
        if session.execute(moved).rowcount:  # type: ignore[attr-defined]
            session.refresh(job)
            return job
    raise Conflict("The job does not wait any more")


def set_paused(session: Session, queue: str, paused: bool) -> None:
    """Raises NotFound."""
    if queue not in queues():
        raise NotFound("There is no such queue")
    (pauses.pause if paused else pauses.go_on)(session, queue)
