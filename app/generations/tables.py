"""Generation jobs: the database is the queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, new_id, now

UNFINISHED = ("queued", "running")
FINISHED = ("succeeded", "failed", "cancelled")


class Generation(Base):
    """One job. `params` are fully resolved; `token` is the lease of the worker that runs it."""

    __tablename__ = "generations"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_generations_queue", "status", "queue", "priority", "created_at"),
        Index("ix_generations_user", "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    queue: Mapped[str] = mapped_column(default="generation")
    status: Mapped[str] = mapped_column(default="queued")
    priority: Mapped[int] = mapped_column(default=0)
    model: Mapped[str]
    task: Mapped[str]
    checkpoint_sha256: Mapped[str]
    params: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]] = mapped_column(default=dict)
    count: Mapped[int]
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str]
    request_id: Mapped[str] = mapped_column(default="")
    attempt: Mapped[int] = mapped_column(default=0)
    token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    step: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
