"""Generation jobs: the database is the queue."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.jobs import FINISHED, UNFINISHED, Job

__all__ = ["FINISHED", "UNFINISHED", "Generation"]
WHERE_QUEUED: dict[str, Any] = {f"{dialect}_where": text("status = 'queued'") for dialect in ("sqlite", "postgresql")}


class Generation(Job, Base):
    """One job. `params` are fully resolved."""

    __tablename__ = "generations"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_generations_queue", "status", "queue", "priority", "created_at"),
        Index("ix_generations_user", "user_id", "id"),
        # A claim reads a few entries of these, however long the queue is.
        Index("ix_generations_claim", "queue", "priority", "user_id", "id", **WHERE_QUEUED),
        Index("ix_generations_alike", "queue", "model", "checkpoint_sha256", "task", "user_id", "id", **WHERE_QUEUED),
        Index("ix_generations_unfinished", "user_id", "status", "id"),
        Index("ix_generations_waiting", "status", "created_at"),
    )

    given_up = (
        "The worker that drew this stopped three times in a row, perhaps for lack of memory. "
        "Try fewer pictures at once, or ask an admin to look at the log."
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    queue: Mapped[str] = mapped_column(default="generation")
    model: Mapped[str]
    task: Mapped[str]
    checkpoint_sha256: Mapped[str]
    params: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]] = mapped_column(default=dict)
    count: Mapped[int]
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str]
