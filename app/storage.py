"""Where files live: content-addressed, written whole or not at all, on a disk or in S3-compatible storage."""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from app.errors import DISK_IS_FULL, StorageFull
from app.settings import get_settings
from models.folders import is_full, write_atomically

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Storage(Protocol):
    """Files by the SHA-256 of their content."""

    def put(self, content: bytes) -> str:
        """Store, return the SHA-256. Storing what is there already only touches it. Raises StorageFull."""
        ...

    def get(self, digest: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def path(self, digest: str) -> Path | None:
        """The file on this machine's disk, None where there is none."""
        ...

    def delete(self, digest: str) -> None: ...

    def age(self, digest: str) -> float | None:
        """Seconds since the file was written or reused; None when it is gone."""
        ...

    def untouched_for(self, seconds: float) -> Iterator[str]:
        """Digests of files that nobody wrote or reused for so long."""
        ...


def address(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise FileNotFoundError(digest)
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


class LocalStorage:
    """Files under a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        path = self.root / address(digest)
        try:
            if path.exists():
                os.utime(path)
                return digest
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            if is_full(error):
                raise StorageFull(DISK_IS_FULL, retry_after=60) from error
            raise
        return digest

    def get(self, digest: str) -> bytes:
        return (self.root / address(digest)).read_bytes()

    def path(self, digest: str) -> Path | None:
        """Where the file lies, None when it is missing."""
        path = self.root / address(digest)
        return path if path.is_file() and not path.is_symlink() else None

    def delete(self, digest: str) -> None:
        (self.root / address(digest)).unlink(missing_ok=True)

    def age(self, digest: str) -> float | None:
        try:
            return time.time() - (self.root / address(digest)).stat().st_mtime
        except FileNotFoundError:
            return None

    def untouched_for(self, seconds: float) -> Iterator[str]:
        before = time.time() - seconds
        for path in self.root.glob("??/??/*"):
            try:
                untouched = not path.is_symlink() and path.stat().st_mtime < before
            except FileNotFoundError:  # another process collects too
                continue
            if untouched and _DIGEST.fullmatch(path.name):
                yield path.name
            elif untouched:
                path.unlink(missing_ok=True)  # a temporary file of a process that was killed


class Growing(io.RawIOBase):
    """A file that is only written to, in order, and handed on piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


class S3Storage:
    """The same on S3-compatible storage; a single PUT there is atomic."""

    def __init__(self, url: str, endpoint: str = "") -> None:
        from obstore.store import from_url

        options: dict[str, Any] = {"config": {"endpoint": endpoint}} if endpoint else {}
        if endpoint.startswith("http://"):
            options["client_options"] = {"allow_http": True}
        self.store = from_url(url, **options)

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.store.put(address(digest), content)
        return digest

    def get(self, digest: str) -> bytes:
        return bytes(self.store.get(address(digest)).bytes())

    def path(self, digest: str) -> Path | None:
        return None

    def delete(self, digest: str) -> None:
        self.store.delete(address(digest))

    def age(self, digest: str) -> float | None:
        try:
            return time.time() - self.store.head(address(digest))["last_modified"].timestamp()
        except FileNotFoundError:
            return None

    def untouched_for(self, seconds: float) -> Iterator[str]:
        before = time.time() - seconds
        for page in self.store.list():
            for entry in page:
                name = str(entry["path"]).rsplit("/", 1)[-1]
                if _DIGEST.fullmatch(name) and entry["last_modified"].timestamp() < before:
                    yield name


@cache
def get_storage() -> Storage:
    settings = get_settings()
    if settings.storage_url:
        return S3Storage(settings.storage_url, settings.storage_endpoint)
    return LocalStorage(settings.data / "files")
