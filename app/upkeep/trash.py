"""The trash, and uploads that no job took."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from app.artworks.tables import Artwork
from app.database import now, session_scope
from app.settings import get_settings
from app.uploads.tables import Upload

UNUSED_UPLOAD_DAYS = 7


def empty_trash() -> int:
    """Delete what was in the trash for long; returns how many works. Their files go as files that nothing names."""
    days = get_settings().trash_days
    if days == 0:
        return 0
    with session_scope() as session:
        done = session.execute(delete(Artwork).where(Artwork.deleted_at < now() - timedelta(days=days)))
    return int(done.rowcount)  # type: ignore[attr-defined]


def drop_unused_uploads() -> int:
    """Forget uploads that no job took within days; returns how many. Their files go as files that nothing names."""
    long_ago = now() - timedelta(days=UNUSED_UPLOAD_DAYS)
    with session_scope() as session:
        done = session.execute(delete(Upload).where(Upload.used_at.is_(None), Upload.created_at < long_ago))
    return int(done.rowcount)  # type: ignore[attr-defined]
