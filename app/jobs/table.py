"""What generations and training runs have in common: a row that waits, is leased by a worker, and ends."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import ColumnElement, case
from sqlalchemy.orm import Mapped, mapped_column

from app.database import new_id, now
from models.contract.message import Message

UNFINISHED = ("queued", "running")
FINISHED = ("succeeded", "failed", "cancelled")


class Job:
    """Columns of every job. `token` is the lease of the worker that runs it; `step` of `total` is how far it is."""

    failure_message: ClassVar[Message]  # what its user reads when its worker stopped too often

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    queue: Mapped[str]
    status: Mapped[str] = mapped_column(default="queued")
    priority: Mapped[int] = mapped_column(default=0)
    request_id: Mapped[str] = mapped_column(default="")
    attempt: Mapped[int] = mapped_column(default=0)
    token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    step: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    error: Mapped[Message | None]
    notice: Mapped[Message | None]  # why it waits longer than its turn; what of the request was not used
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @classmethod
    def status_when_released(cls) -> ColumnElement[str]:
        """SQL: what becomes of a running job that its worker holds no more and that has not ended."""
        return case((cls.cancel_requested, "cancelled"), else_="queued")
