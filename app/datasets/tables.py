"""Datasets: named collections of captioned pictures, films, music or texts, and their items."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, new_id, now
from models.contract.message import Message


class Dataset(Base):
    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(unique=True)  # casefolded
    description: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(default="pictures")  # of medium: one of `app.media.MEDIA`
    visibility: Mapped[str] = mapped_column(default="private")  # studio: everyone may work from its items
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class DatasetItem(Base):
    """One file that was added: what is kept of it with its caption, or, with a `refusal`, only why it was not kept."""

    __tablename__ = "dataset_items"
    __table_args__ = (
        UniqueConstraint("dataset_id", "sha256"),
        Index("ix_dataset_items_dataset", "dataset_id", "id"),
        Index("ix_dataset_items_name", "dataset_id", "name"),
        Index("ix_dataset_items_fingerprint", "dataset_id", "fingerprint"),
        Index("ix_dataset_items_sha256", "sha256"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    name: Mapped[str]  # path inside the upload; a label only, never a path of ours
    media_type: Mapped[str] = mapped_column(default="image/png")
    sha256: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    size_bytes: Mapped[int]
    caption: Mapped[str] = mapped_column(default="")
    fingerprint: Mapped[str | None]  # equal for pictures that look alike, see `looks.fingerprint`
    colour: Mapped[str | None]  # mean colour, six hexadecimal digits
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what its kind says of it
    similar_to: Mapped[str | None]  # id of an earlier item that looks alike
    refusal: Mapped[Message | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
