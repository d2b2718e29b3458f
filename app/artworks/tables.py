"""Artworks: the kept results of generations. Files are named by their content's SHA-256."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, TextClause, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database import Base, new_id, now


class Source(Base):
    """An artwork that another one was made from."""

    __tablename__ = "artwork_sources"

    artwork_id: Mapped[str] = mapped_column(ForeignKey("artworks.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[str] = mapped_column(ForeignKey("artworks.id", ondelete="CASCADE"), primary_key=True, index=True)


class SearchDocument(Base):
    """What search looks through: see `search`. The index over it is made by a migration, as each database has it."""

    __tablename__ = "search_documents"
    __table_args__ = {"sqlite_autoincrement": True}

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    artwork_id: Mapped[str] = mapped_column(ForeignKey("artworks.id", ondelete="CASCADE"), unique=True)
    words: Mapped[str]


KEPT, TRASHED = text("deleted_at IS NULL"), text("deleted_at IS NOT NULL")


def listed(name: str, *columns: str, where: TextClause = KEPT) -> Index:
    """By which a list is read in order, whatever its filter."""
    return Index(f"ix_artworks_{name}", *columns, sqlite_where=where, postgresql_where=where)


class Artwork(Base):
    __tablename__ = "artworks"
    __table_args__ = (
        UniqueConstraint("generation_id", "position"),
        Index("ix_artworks_sha256", "sha256"),
        Index("ix_artworks_storage", "user_id", "size_bytes"),
        listed("user", "user_id", "id"),
        listed("model", "user_id", "model", "id"),
        listed("task", "user_id", "task", "id"),
        listed("favourite", "user_id", "favourite", "id"),
        listed("visibility", "visibility", "id"),
        listed("trash", "user_id", "id", where=TRASHED),
        listed("deleted_at", "deleted_at", where=TRASHED),
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
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]
    document: Mapped[SearchDocument | None] = relationship(cascade="all, delete-orphan", passive_deletes=True)
