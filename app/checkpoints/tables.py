"""Checkpoints that lie in the object storage, so that machines which share no folder draw with them too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, now


class PublishedCheckpoint(Base):
    """`files` are SHA-256 and size by name; `sha256` is of the weights, as in the card."""

    __tablename__ = "published_checkpoints"

    name: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    files: Mapped[dict[str, Any]]
    published_at: Mapped[datetime] = mapped_column(default=now)
