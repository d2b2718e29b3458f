"""Files that nothing names, and what killed processes left."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.artworks.tables import Artwork
from app.checkpoints import distribution
from app.database import session_scope, storage_lock
from app.datasets.tables import DatasetItem
from app.media.previews import forget_previews
from app.settings import get_settings
from app.storage import get_storage
from app.upkeep.turns import Turn
from app.uploads.tables import Upload
from models.contract.files import WRITING

UNTOUCHED_SECONDS, LEFTOVER_SECONDS = 3600.0, 86400.0
TURN_SECONDS = 5.0  # of work; then others may
PAGE = 500  # files that are looked up at once
DEEPEST = 4  # folders below the data folder in which things are written: those of a run, and of a preview
NAMING = (Artwork.sha256, Artwork.poster_sha256, Upload.sha256, DatasetItem.sha256)
log = structlog.get_logger()


def collect_garbage(
    mine: Turn, untouched_seconds: float = UNTOUCHED_SECONDS, turn_seconds: float = TURN_SECONDS
) -> int:
    """Delete files that nobody touched for an hour and no row names, from the turn's cursor on; returns how many."""
    deadline, deleted, storage = time.monotonic() + turn_seconds, 0, get_storage()
    while page := storage.after(mine.cursor, PAGE):
        old = [digest for digest, age in page if age >= untouched_seconds]
        with session_scope(writing=False) as session:
            unnamed = sorted(set(old) - named(session, old))
        for digest in unnamed:
            with session_scope() as session:
                storage_lock(session, exclusive=True)
                age = storage.age(digest)
                if age is not None and age >= untouched_seconds and not named(session, [digest]):
                    storage.delete(digest)
                    forget_previews(digest)
                    deleted += 1
        mine.cursor = page[-1][0]
        if time.monotonic() > deadline:
            break
    else:
        mine.done()
    if deleted:
        log.info("files_collected", files=deleted)
    return deleted


def named(session: Session, digests: list[str]) -> set[str]:
    """Which of these a row names."""
    found = distribution.digests(session) & set(digests)
    for column in NAMING:
        found |= {digest for digest in session.scalars(select(column).where(column.in_(digests))) if digest}
    return found


def collect_leftovers(untouched_seconds: float = LEFTOVER_SECONDS) -> int:
    """Delete what whoever wrote it was killed over: files and folders that are not whole; returns how many."""
    deleted = 0
    data = get_settings().data
    for path in [path for depth in range(DEEPEST) for path in data.glob(f"{'*/' * depth}{WRITING}*")]:
        with suppress(FileNotFoundError):  # it has become whole meanwhile
            touched = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
            if time.time() - touched > untouched_seconds:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                deleted += 1
    return deleted
