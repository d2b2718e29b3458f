"""Files under a folder of this machine."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from app.errors import DISK_IS_FULL, DomainError, StorageFull, Unavailable
from app.storage.contract import DIGEST, Storage, address, damaged, log
from app.storage.places import folder_at, open_at, write_at
from models.contract.files import WRITING, is_full

PAIR = re.compile(r"[0-9a-f]{2}")
LARGE = 8 << 20  # bytes: what is larger is not read whole for every answer
BLOCK = 1 << 20
REMEMBERED = 10_000  # large files whose content was right when they last changed
PROBE = 64 << 10  # bytes that there has to be room for
NOT_ALLOWED = (errno.EACCES, errno.EPERM)
Identity = tuple[str, int, int, int, int, int]


class LocalStorage(Storage):
    """Neither a file nor a folder on the way to it may be a symbolic link; the root itself may."""

    def __init__(self, root: Path) -> None:
        with suppress(OSError):  # `problem` says so
            root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._right: OrderedDict[Identity, None] = OrderedDict()

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        try:
            if not self._touch(digest, content):
                write_at(self.root, *parts(digest), content=content)
        except OSError as error:
            if fault := self._not_saved(error):
                raise fault from error
            raise
        return digest

    def put_file(self, path: Path) -> str:
        return self.put(path.read_bytes())

    def _touch(self, digest: str, content: bytes) -> bool:
        """Whether the file is there, and right; then it is used anew."""
        try:
            with open_at(self.root, *parts(digest)) as file:
                if file.read(len(content) + 1) == content:
                    os.utime(file.fileno())
                    return True
        except FileNotFoundError:
            return False
        except OSError as error:  # a block that cannot be read, a file that is another user's: written anew
            if error.errno == errno.EROFS:
                raise
        log.warning("file_replaced", sha256=digest)
        return False

    def _not_saved(self, error: OSError) -> DomainError | None:
        if is_full(error):
            return StorageFull(DISK_IS_FULL, retry_after=60)
        if error.errno in (errno.EROFS, *NOT_ALLOWED):
            return Unavailable("The storage is read-only; nothing was saved", retry_after=60)
        if not self.root.is_dir():
            return Unavailable("The folder of the storage is missing; nothing was saved", retry_after=60)
        return None

    def pieces(self, digest: str) -> Iterator[bytes]:
        try:
            with open_at(self.root, *parts(digest)) as file:
                while piece := file.read(BLOCK):
                    yield piece
        except OSError as error:
            if error.errno == errno.EIO:
                raise damaged(digest) from error
            if error.errno in NOT_ALLOWED:
                raise Unavailable(
                    "The studio has no permission to read the files in its storage", retry_after=60
                ) from error
            raise

    def opened(self, digest: str) -> BufferedReader | None:
        """Hashed once for every change of the file that shows in its times, size or place on the disk."""
        file = open_at(self.root, *parts(digest))
        try:
            before = identity(digest, file)
            if os.fstat(file.fileno()).st_size <= LARGE:
                file.close()
                return None
            if before in self._right:
                return file
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise damaged(digest)
            if identity(digest, file) == before:
                self._right[before] = None
                while len(self._right) > REMEMBERED:
                    self._right.popitem(last=False)
            file.seek(0)
            return file
        except BaseException:
            file.close()
            raise

    def delete(self, digest: str) -> None:
        *folders, name = parts(digest)
        with suppress(FileNotFoundError), folder_at(self.root, *folders) as folder:
            os.unlink(name, dir_fd=folder)

    def age(self, digest: str) -> float | None:
        *folders, name = parts(digest)
        try:
            with folder_at(self.root, *folders) as folder:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return time.time() - found.st_mtime if stat.S_ISREG(found.st_mode) else None

    def missing(self, digests: Iterable[str]) -> str | None:
        return next((digest for digest in digests if self.age(digest) is None), None)

    def after(self, cursor: str, limit: int) -> list[tuple[str, float]]:
        page: list[tuple[str, float]] = []
        for digest in self._digests(cursor):
            if len(page) == limit:
                break
            if (age := self.age(digest)) is not None:
                page.append((digest, age))
        return page

    def _digests(self, cursor: str) -> Iterator[str]:
        """In order, after the cursor; folders before it are not looked into."""
        for outer in self._names():
            if PAIR.fullmatch(outer) and outer >= cursor[:2]:
                for inner in self._names(outer):
                    if PAIR.fullmatch(inner) and outer + inner >= cursor[:4]:
                        for name in self._names(outer, inner):
                            if DIGEST.fullmatch(name) and name.startswith(outer + inner) and name > cursor:
                                yield name

    def _names(self, *folders: str) -> list[str]:
        try:
            with folder_at(self.root, *folders) as folder, os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []

    def problem(self) -> str | None:
        name = f"{WRITING}probe-{secrets.token_hex(8)}"
        try:
            with folder_at(self.root) as folder:
                descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
                try:
                    with os.fdopen(descriptor, "wb") as file:
                        file.write(secrets.token_bytes(PROBE))
                        file.flush()
                        os.fsync(file.fileno())
                finally:
                    os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return "The folder of the storage is missing"
        except OSError as error:
            if is_full(error):
                return "The disk of the storage is full"
            if error.errno == errno.EROFS:
                return "The disk of the storage is read-only"
            if error.errno in NOT_ALLOWED:
                return "The studio may not write to the folder of its storage"
            return f"The disk of the storage fails: {os.strerror(error.errno or errno.EIO)}"
        return None


def parts(digest: str) -> list[str]:
    return address(digest).split("/")


def identity(digest: str, file: BufferedReader) -> Identity:
    """Another one once the file is another, or was written to."""
    found = os.fstat(file.fileno())
    return digest, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
