"""What training runs and checkpoints take of the disk, and how to have some of it back."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from app.database import session_scope
from app.errors import Conflict
from app.settings import get_settings
from app.training_runs import service
from app.training_runs.tables import TrainingRun

KEPT = ("model", "samples")  # folders of a run that tidying leaves
TIDIED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class RunStorage:
    """`state_bytes` of `bytes` are what only resuming or extending the run would need."""

    id: str
    name: str
    status: str
    bytes: int
    state_bytes: int


def runs() -> list[RunStorage]:
    """The largest first. Their folders are walked once the transaction is over."""
    with session_scope(writing=False) as session:
        rows = session.execute(select(TrainingRun.id, TrainingRun.name, TrainingRun.status)).all()
    return sorted((stored(*row) for row in rows), key=lambda run: -run.bytes)


def stored(run_id: str, name: str, status: str) -> RunStorage:
    folder = service.folder(run_id).path
    sizes = {each: size(each) for each in folder.iterdir()} if folder.is_dir() else {}
    state = sum(sizes.get(each, 0) for each in state_of(folder)) if status in TIDIED else 0
    return RunStorage(run_id, name, status, sum(sizes.values()), state)


def checkpoints() -> dict[str, int]:
    """By name, those that did not come with the studio, the largest first."""
    place = get_settings().data / "checkpoints"
    found = {each.name: size(each) for each in place.iterdir() if each.is_dir()} if place.is_dir() else {}
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def state_of(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir() and each.name not in KEPT] if folder.is_dir() else []


def size(path: Path) -> int:
    """Of a file, or of all files beneath a folder; one that goes meanwhile counts nothing."""
    beneath = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    total = 0
    for each in [path] if path.is_file() else beneath:
        with suppress(OSError):
            total += each.lstat().st_size
    return total


def tidy_all() -> int:
    """Returns how many bytes were freed."""
    return sum(tidy(run.id) for run in runs() if run.state_bytes)


def tidy(run_id: str) -> int:
    """The row first: from then on nothing resumes from what is deleted. Bytes that were freed. Raises Conflict."""
    with session_scope() as session:
        run = service.get(session, run_id)
        if not service.change(session, run, TIDIED, saved=0):
            raise Conflict("Cancel the run first")
    before = size(service.folder(run_id).path)
    for each in state_of(service.folder(run_id).path):
        shutil.rmtree(each, ignore_errors=True)
    return before - size(service.folder(run_id).path)
