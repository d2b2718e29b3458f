"""Large checkpoints on their way here: files that come in pieces, over as many connections as it takes.

One that nobody adds to for a day is swept away like everything that is not whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checkpoints.importing import NOT_ONE, TRANSFERS, names_of
from app.errors import Conflict, Invalid, NotFound
from app.security import Principal
from app.settings import get_settings
from models.contract.card import CheckpointError
from models.contract.files import WRITING, locked, whole_folder

MANIFEST = "manifest.json"
KEY = "[0-9a-f]{32}"
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
        return self.path(number).stat().st_size

    @property
    def is_complete(self) -> bool:
        return all(self.received(i) == size for i, (_, size) in enumerate(self.files))


def begin(user: Principal, files: list[tuple[str, int, str]]) -> Transfer:
    """That of the same files goes on, if there is one; each is (name, size, what tells its content from another).
    Raises Invalid for what no checkpoint is made of, more than one may have, or more than the disk has room for.
    """
    check_names([name for name, _, _ in files])
    size, most = sum(size for _, size, _ in files), get_settings().max_transfer_gib
    if size > most << 30:
        raise Invalid("A checkpoint may have at most {most} GiB", most=most)
    key = hashlib.sha256(json.dumps([user.id, files]).encode()).hexdigest()[:32]
    folder = place(key)
    if not (folder / MANIFEST).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if size + outstanding() > shutil.disk_usage(folder.parent).free:
            raise Invalid("There is no room for {size} MiB on the disk", size=size >> 20)
        with whole_folder(folder) as temporary:
            for number in range(len(files)):
                (temporary / str(number)).touch()
            told = {"user": user.id, "files": [(name, size) for name, size, _ in files]}
            (temporary / MANIFEST).write_text(json.dumps(told), "utf-8")
    return get(user, key)


def check_names(names: list[str]) -> None:
    """Raises Invalid."""
    try:
        places = names_of(names)
    except CheckpointError as error:
        raise Invalid(error.message) from error
    wanted, put = [name for name in names if name in places], list(places.values())
    if twice := next((name for name in wanted if wanted.count(name) > 1 or put.count(places[name]) > 1), None):
        raise Invalid(NOT_ONE, label=twice[:80])


def outstanding() -> int:
    """Bytes of all transfers that are still to come."""
    keys = [path.parent.name.removeprefix(WRITING) for path in place("*").parent.glob(f"{WRITING}*/{MANIFEST}")]
    found = [read(key)[1] for key in keys]
    return sum(size - each.received(i) for each in found for i, (_, size) in enumerate(each.files))


def get(user: Principal, key: str) -> Transfer:
    """Raises NotFound, also for another user's."""
    if not re.fullmatch(KEY, key):
        raise NotFound("There is no such transfer")
    owner, found = read(key)
    if owner != user.id:
        raise NotFound("There is no such transfer")
    return found


def read(key: str) -> tuple[str, Transfer]:
    """(whose it is, it). Raises NotFound."""
    folder = place(key)
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NotFound("There is no such transfer") from error
    return told["user"], Transfer(key, folder, [(name, size) for name, size in told["files"]])


def append(transfer: Transfer, number: int, offset: int, piece: bytes) -> int:
    """Add to a file; returns how many bytes of it are here then. Raises NotFound, WrongOffset, Invalid for more than
    the file has.
    """
    path = transfer.path(number)
    with locked(path, WAIT_SECONDS):
        if not path.exists():  # it has been forgotten meanwhile
            raise NotFound("There is no such transfer")
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
    return get_settings().data / TRANSFERS / f"{WRITING}{key}"
