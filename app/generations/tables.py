"""Generation jobs: the database is the queue."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.jobs.events import StatusEvent, publish
from app.jobs.registry import JobQueue, enter
from app.jobs.table import FINISHED, UNFINISHED, Job
from models.contract.message import Message

__all__ = ["FINISHED", "GENERATION", "UNFINISHED", "Generation"]
GENERATION = "generation"
WHERE_QUEUED: dict[str, Any] = {f"{dialect}_where": text("status = 'queued'") for dialect in ("sqlite", "postgresql")}

ALIKE = ("model", "checkpoint_sha256", "batch_key")  # jobs that agree in these are sampled together


class Generation(Job, Base):
    """One job. `params` are fully resolved."""

    __tablename__ = "generations"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_generations_queue", "status", "queue", "priority", "created_at"),
        Index("ix_generations_user", "user_id", "id"),
        # A claim reads a few entries of these, however long the queue is.
        Index("ix_generations_claim", "queue", "priority", "user_id", "id", **WHERE_QUEUED),
        Index("ix_generations_alike", "queue", *ALIKE, "user_id", "id", **WHERE_QUEUED),
        Index("ix_generations_grid", "grid_id"),
        Index("ix_generations_unfinished", "user_id", "status", "id"),
        Index("ix_generations_waiting", "status", "created_at"),
    )

    failure_message = Message(
        "The worker that drew this stopped three times in a row, perhaps for lack of memory. "
        "Try fewer pictures at once, or ask an admin to look at the log."
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    queue: Mapped[str] = mapped_column(default=GENERATION)
    model: Mapped[str]
    task: Mapped[str]
    checkpoint_sha256: Mapped[str]
    params: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]] = mapped_column(default=dict)  # by role, see `inputs.KeptInputs`
    enlarge: Mapped[dict[str, Any]] = mapped_column(default=dict)  # see `enlarging.resolved`; empty: as it is drawn
    count: Mapped[int]
    cost: Mapped[int] = mapped_column(default=1)  # of all its works, in pictures of a small model
    batch_key: Mapped[str] = mapped_column(default="")  # jobs of a model with one key are sampled together
    subject: Mapped[str] = mapped_column(default="")
    grid_id: Mapped[str | None]  # of `app.grids`; no foreign key, for which SQLite would write all jobs anew
    cell: Mapped[int | None]  # of the grid
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str]


def tell(job: Generation) -> None:
    """Whoever watches a job hears what became of it."""
    publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))


enter(JobQueue(GENERATION, Generation, "workers.generate", changed=tell, needed=True, gpu_each=True))
