"""How much one user may keep: works, also those in the trash, and uploads."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.artworks.tables import Artwork
from app.errors import DomainError
from app.settings import get_settings
from app.uploads.tables import Upload


class QuotaExceeded(DomainError):
    status, title, code = 507, "Your storage is full", "storage-quota"


def used(session: Session, user_id: str) -> int:
    """Bytes."""
    sums = (
        session.scalar(select(func.sum(table.size_bytes)).where(table.user_id == user_id))
        for table in (Artwork, Upload)
    )
    return sum(found or 0 for found in sums)


def limit_bytes() -> int:
    """0: none."""
    return get_settings().max_storage_mib_per_user << 20


def check(session: Session, user_id: str, more: int = 0) -> None:
    """Raises QuotaExceeded where so many more bytes are too many."""
    most = limit_bytes()
    if most and (have := used(session, user_id) + more) and have >= most:
        raise QuotaExceeded(
            "You may keep {most} MiB, and have {used} MiB: delete works for good, or uploads",
            most=most >> 20,
            used=-(-have >> 20),
        )
