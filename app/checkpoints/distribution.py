"""Published checkpoints travel through the object storage: machines that share no folder fetch each once, checked by
hash. With files in the data folder there is nothing to do: whoever shares it has them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.checkpoints.tables import PublishedCheckpoint
from app.database import session_scope
from app.settings import get_settings
from app.storage import get_storage
from models.contract.card import read_card
from models.contract.files import locked, whole_folder, write_atomically

MARK = ".published"  # in a folder that follows the row of its name: which one it is of
FETCH_SECONDS = 3600.0  # that another process of this machine may take to fetch the same
log = structlog.get_logger()


def home_of(name: str) -> Path:
    return get_settings().data / "checkpoints" / name


def is_on() -> bool:
    return bool(get_settings().storage_url)


def announce(name: str) -> None:
    """Put what has just been published into the storage; other machines fetch it within seconds."""
    if not is_on():
        return
    folder, storage = home_of(name), get_storage()
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        file = path.relative_to(folder).as_posix()
        files[file] = {"sha256": storage.put_file(path), "size": path.stat().st_size}
    card = read_card(folder)
    with session_scope() as session:
        session.execute(delete(PublishedCheckpoint).where(PublishedCheckpoint.name == name))
        row = PublishedCheckpoint(name=name, sha256=card["sha256"], files=files)
        session.add(row)
        session.flush()
        mark = mark_of(row)
    write_atomically(folder / MARK, mark.encode())
    log.info("checkpoint_announced", name=name, bytes=sum(file["size"] for file in files.values()))


def withdraw(name: str) -> None:
    """Other machines drop their copies."""
    if is_on():
        with session_scope() as session:
            session.execute(delete(PublishedCheckpoint).where(PublishedCheckpoint.name == name))


def fetch(name: str, sha256: str) -> bool:
    """Whether the checkpoint with these weights is here now, after fetching it where it can be had."""
    if not is_on():
        return False
    with session_scope(writing=False) as session:
        row = session.get(PublishedCheckpoint, name)
    if row is None or row.sha256 != sha256:
        return False
    bring(row)
    return True


def follow() -> None:
    """Fetch what others have published, drop what they have withdrawn. Own folders, without a mark, stay."""
    if not is_on():
        return
    with session_scope(writing=False) as session:
        rows = {row.name: row for row in session.scalars(select(PublishedCheckpoint))}
    for row in rows.values():
        bring(row)
    for marked in (get_settings().data / "checkpoints").glob(f"*/{MARK}"):
        if marked.parent.name not in rows and not is_announced(marked.parent.name):
            shutil.rmtree(marked.parent, ignore_errors=True)
            log.info("checkpoint_dropped", name=marked.parent.name)


def is_announced(name: str) -> bool:
    """Asked again: it may have been published since the rows were read."""
    with session_scope(writing=False) as session:
        return session.get(PublishedCheckpoint, name) is not None


def bring(row: PublishedCheckpoint) -> None:
    """The folder appears whole or not at all. Raises FileNotFoundError, Damaged or Unavailable."""
    folder, mark = home_of(row.name), mark_of(row)
    if not is_behind(folder, mark):
        return
    with locked(folder, FETCH_SECONDS):
        if not is_behind(folder, mark):
            return
        with whole_folder(folder) as temporary:
            for name, file in row.files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                get_storage().get_file(file["sha256"], temporary / name)
            (temporary / MARK).write_text(mark, "ascii")
    log.info("checkpoint_fetched", name=row.name)


def is_behind(folder: Path, mark: str) -> bool:
    if not folder.exists():
        return True
    try:
        return (folder / MARK).read_text("ascii") != mark
    except FileNotFoundError:  # the operator's own, or just being published here
        return False


def mark_of(row: PublishedCheckpoint) -> str:
    return json.dumps({name: file["sha256"] for name, file in sorted(row.files.items())})


def digests(session: Session) -> set[str]:
    """Of every file of a checkpoint that is in the storage."""
    return {file["sha256"] for files in session.scalars(select(PublishedCheckpoint.files)) for file in files.values()}
