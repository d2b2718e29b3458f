"""Grids: one request with one or two things in several values, a job for each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, new_id, now


class Grid(Base):
    """Its jobs name it, and their cells: 0 is at the top left, the next one is to the right."""

    __tablename__ = "grids"
    __table_args__ = (UniqueConstraint("user_id", "idempotency_key"), Index("ix_grids_user", "user_id", "id"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    request: Mapped[dict[str, Any]]  # what all its jobs have in common, with the seed
    columns: Mapped[dict[str, Any]]  # an `Axis`
    rows: Mapped[dict[str, Any]] = mapped_column(default=dict)  # an `Axis`, or empty
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
