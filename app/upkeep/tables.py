"""Processes that tidy up take turns here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base


class Upkeep(Base):
    """A task of upkeep that one process at a time does, piece by piece: `cursor` is how far it is."""

    __tablename__ = "upkeep"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str | None]
    held_until: Mapped[datetime | None]
    cursor: Mapped[str] = mapped_column(default="")
    finished_at: Mapped[datetime | None]
