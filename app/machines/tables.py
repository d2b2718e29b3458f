"""Workers report here that they live, and on what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, now


class Worker(Base):
    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str]
    device: Mapped[str]
    memory_total: Mapped[int]  # bytes, of the device
    memory_used: Mapped[int]
    models: Mapped[list[str]] = mapped_column(default=list)
    speed: Mapped[float | None]  # of training, against the two cores on which the families were measured
    started_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    claimed_at: Mapped[datetime | None]  # when it last took a job
    machine: Mapped[str]  # its host, and the namespace in which `process` counts: containers may share a host's name
    process: Mapped[int]
