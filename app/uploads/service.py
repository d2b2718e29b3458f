"""Keeps uploaded pictures: re-encoded, upright, stripped of metadata."""

from __future__ import annotations

import threading

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import now, storage_lock
from app.errors import NotFound
from app.imaging import read_upload
from app.storage import get_storage
from app.uploads.tables import Upload
from app.users.service import Principal

LABEL_LENGTH = 200
_decoding = threading.Semaphore(2)  # a picture of 40 megapixels takes 160 MB while it is decoded


def add(session: Session, user: Principal, content: bytes, file_name: str) -> Upload:
    """Raises UnsupportedMedia, Invalid or StorageFull. The file name is kept as a label only."""
    with _decoding:
        png, width, height = read_upload(content)
    storage_lock(session)
    label = "".join(c for c in file_name if c.isprintable())[:LABEL_LENGTH]
    upload = Upload(
        user_id=user.id,
        sha256=get_storage().put(png),
        media_type="image/png",
        size_bytes=len(png),
        width=width,
        height=height,
        label=label,
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
