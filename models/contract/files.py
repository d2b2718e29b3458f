"""Folders and files that appear whole or not at all. Torch-free."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

WRITING = ".writing-"  # what begins so is not whole
PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
DEEPEST = 4  # folders within folders


def is_relative(name: str) -> bool:
    """Whether it is a path to within a folder, with nothing strange in it."""
    parts = name.split("/")
    return len(parts) <= DEEPEST and all(PLAIN.fullmatch(part) for part in parts)


def sha256_of(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_full(error: BaseException) -> bool:
    """Whether it says that there is no room on the disk."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, which takes its place when the block ends well and is deleted when not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=WRITING))
    aside = temporary.with_name(f"{temporary.name}-before")
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():  # a folder that is not empty cannot be replaced; to delete it may take long
            os.replace(target, aside)
        try:
            os.replace(temporary, target)
        except OSError:
            if aside.exists():
                os.replace(aside, target)
            raise
    finally:
        for left in (temporary, aside):
            shutil.rmtree(left, ignore_errors=True)


def write_atomically(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Temporary file on the same file system, fsync, rename, fsync of the folder."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path, seconds: float, check_cancelled: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Nobody else on this machine is in such a block for `path`. Raises TimeoutError after `seconds`.

    `check_cancelled` is called while it waits, and may raise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, deadline = FileLock(lock_of(path)), time.monotonic() + seconds
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is in use") from None
        check_cancelled()
        time.sleep(0.2)
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether somebody is in such a block for `path`. Whoever asks holds it for a moment, if nobody does."""
    if not lock_of(path).exists():
        return False
    try:
        with FileLock(lock_of(path), blocking=False):
            return False
    except Timeout:
        return True


def lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
