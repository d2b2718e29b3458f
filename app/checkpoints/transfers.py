"""Large checkpoints on their way here: files that come in pieces, over as many connections as it takes.

One that nobody adds to for a day is swept away like everything that is not whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checkpoints.service import MAX_BYTES
from app.errors import Conflict, Invalid, NotFound
from app.security import Principal
from app.settings import get_settings
from models.contract.files import WRITING, locked

MANIFEST = "manifest.json"
WAIT_SECONDS = 30.0  # for another piece of the same file


class WrongOffset(Conflict):
    """A piece that does not go on where the last one ended; `received` bytes are here."""

    def __init__(self, received: int) -> None:
        super().__init__("{received} bytes of this file are here; go on from there", received=received)
        self.received = received


@dataclass(frozen=True)
class Transfer:
    """`files` are names as they lie in the sender's folder, with their sizes in bytes."""

    id: str
    folder: Path
    files: list[tuple[str, int]]

    def path(self, number: int) -> Path:
        """Raises NotFound."""
        if not 0 <= number < len(self.files):
            raise NotFound("There is no such file")
        return self.folder / str(number)

    def received(self, number: int) -> int:
        """Bytes of a file that are here. Raises NotFound."""
        path = self.path(number)
        return path.stat().st_size if path.exists() else 0

    @property
    def is_complete(self) -> bool:
        return all(self.received(i) == size for i, (_, size) in enumerate(self.files))


def begin(user: Principal, files: list[tuple[str, int]]) -> Transfer:
    """That of the same files goes on, if there is one. Raises Invalid for more than a checkpoint may have, or more than
    the disk has room for.
    """
    size = sum(size for _, size in files)
    if size > MAX_BYTES:
        raise Invalid("A checkpoint may have at most {most} GiB", most=MAX_BYTES >> 30)
    content = json.dumps([user.id, sorted(files)])
    transfer = Transfer(hashlib.sha256(content.encode()).hexdigest()[:32], Path(), files)
    folder = place(transfer.id)
    if not folder.exists():
        root = folder.parent
        root.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(root).free:
            raise Invalid("There is no room for {size} MiB on the disk", size=size >> 20)
        folder.mkdir()
        (folder / MANIFEST).write_text(json.dumps({"user": user.id, "files": files}), "utf-8")
    return get(user, transfer.id)


def get(user: Principal, key: str) -> Transfer:
    """Raises NotFound, also for another user's."""
    folder = place(key)
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NotFound("There is no such transfer") from error
    if told["user"] != user.id:
        raise NotFound("There is no such transfer")
    return Transfer(key, folder, [(name, size) for name, size in told["files"]])


def append(transfer: Transfer, number: int, offset: int, piece: bytes) -> int:
    """Add to a file; returns how many bytes of it are here then. Raises NotFound, WrongOffset, Invalid for more than
    the file has.
    """
    path = transfer.path(number)
    with locked(path, WAIT_SECONDS):
        here = transfer.received(number)
        if offset != here:
            raise WrongOffset(here)
        if here + len(piece) > transfer.files[number][1]:
            raise Invalid("The file is longer than was said")
        with path.open("ab") as file:
            try:
                file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(here)
                raise
    return here + len(piece)


def forget(transfer: Transfer) -> None:
    shutil.rmtree(transfer.folder, ignore_errors=True)


def place(key: str) -> Path:
    return get_settings().data / "transfers" / f"{WRITING}{key}"
