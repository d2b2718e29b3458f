"""Keeps uploads to work from: pictures re-encoded, upright, stripped of metadata; music and texts in one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import now, storage_lock
from app.errors import NotFound, TooLarge
from app.media import Kept, of_type, taken
from app.media.previews import cached_preview
from app.security import Principal
from app.settings import get_settings
from app.storage import get_storage
from app.text import shown
from app.uploads import quota
from app.uploads.tables import Upload

LABEL_LENGTH = 200


@dataclass(frozen=True)
class Received:
    """A file as it is kept, in the storage already."""

    sha256: str
    kept: Kept


def receive(file: BinaryIO, name: str) -> Received:
    """Decode a foreign file and store what is kept of it, before any transaction: both take their time.

    Raises UnsupportedMedia, Invalid, TooLarge or StorageFull.
    """
    kept = taken(content_of(file), name)
    return Received(get_storage().put(kept.content), kept)


def content_of(file: BinaryIO) -> bytes:
    """Raises TooLarge."""
    most = get_settings().max_upload_mib
    content = file.read((most << 20) + 1)
    if len(content) > most << 20:
        raise TooLarge("The file is larger than {most} MiB", most=most)
    return content


def add(session: Session, user: Principal, received: Received, file_name: str) -> Upload:
    """The file name is kept as a label only."""
    quota.check(session, user.id, len(received.kept.content))
    storage_lock(session)
    upload = Upload(
        user_id=user.id,
        sha256=received.sha256,
        media_type=received.kept.media_type,
        size_bytes=len(received.kept.content),
        width=received.kept.width,
        height=received.kept.height,
        facts=received.kept.facts,
        label=shown(file_name)[:LABEL_LENGTH],
    )
    session.add(upload)
    session.flush()
    return upload


def mark_used(session: Session, ids: set[str]) -> None:
    """A job works from these: they are kept. Raises NotFound where one has just been forgotten."""
    marked = session.execute(update(Upload).where(Upload.id.in_(ids)).values(used_at=now()))
    if marked.rowcount < len(ids):  # type: ignore[attr-defined]
        raise NotFound("There is no such upload")


def content(upload: Upload) -> bytes:
    try:
        return get_storage().get(upload.sha256)
    except FileNotFoundError as error:
        raise NotFound("The file of this upload is missing") from error


def preview(upload: Upload, size: int) -> bytes:
    """A WebP. Raises NotFound where its medium has no picture of it."""
    poster = of_type(upload.media_type).poster
    if poster is None:
        raise NotFound("There is no picture of this upload")
    make = poster
    return cached_preview(upload.sha256, size, lambda: make(content(upload), upload.media_type))


def page(session: Session, user: Principal, before: str | None, limit: int) -> tuple[list[Upload], str | None]:
    """The newest first, and the id that the next page follows."""
    query = select(Upload).where(Upload.user_id == user.id).order_by(Upload.id.desc()).limit(limit + 1)
    found = list(session.scalars(query.where(Upload.id < before) if before else query))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def get(session: Session, user: Principal, upload_id: str) -> Upload:
    upload = session.get(Upload, upload_id)
    if upload is None or upload.user_id != user.id:
        raise NotFound("There is no such upload")
    return upload


def by_content(session: Session, user: Principal, digest: str) -> Upload | None:
    """The newest of the user's uploads with this SHA-256."""
    query = select(Upload).where(Upload.user_id == user.id, Upload.sha256 == digest)
    return session.scalar(query.order_by(Upload.id.desc()).limit(1))


def delete(session: Session, user: Principal, upload_id: str) -> None:
    """Its file goes as one that nothing names. Raises NotFound."""
    session.delete(get(session, user, upload_id))
