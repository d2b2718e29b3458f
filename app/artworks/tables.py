"""Artworks: the kept results of generations. Files are named by their content's SHA-256."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, new_id, now


class Source(Base):
    """An artwork that another one was made from."""

    __tablename__ = "artwork_sources"

    artwork_id: Mapped[str] = mapped_column(ForeignKey("artworks.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[str] = mapped_column(ForeignKey("artworks.id", ondelete="CASCADE"), primary_key=True, index=True)


class Artwork(Base):
    """`text` is what search looks through: title, subject, tags, casefolded."""

    __tablename__ = "artworks"
    __table_args__ = (
        UniqueConstraint("generation_id", "position"),
        Index("ix_artworks_user", "user_id", "deleted_at", "id"),
        Index("ix_artworks_sha256", "sha256"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    generation_id: Mapped[str | None] = mapped_column(ForeignKey("generations.id", ondelete="SET NULL"))
    position: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what its medium says of it
    poster_sha256: Mapped[str | None] = mapped_column(index=True)  # of a picture of it, where it is not one itself
    subject: Mapped[str] = mapped_column(default="")  # what it is of, in words, where the request says it
    model: Mapped[str]
    task: Mapped[str]
    seed: Mapped[int | None]
    provenance: Mapped[dict[str, Any]]
    title: Mapped[str] = mapped_column(default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
    favourite: Mapped[bool] = mapped_column(default=False)
    visibility: Mapped[str] = mapped_column(default="private")
    text: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]
