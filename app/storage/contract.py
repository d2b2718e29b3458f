"""What every storage does: files by the SHA-256 of their content, which is looked at whenever one is read."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path

import structlog

from app.errors import FILE_IS_DAMAGED, Damaged

DIGEST = re.compile(r"[0-9a-f]{64}")
THREADS = 8  # that store several files at once
log = structlog.get_logger()


class Storage(ABC):
    """Raises StorageFull and Unavailable, each with a true sentence, when what it stands on does not do its part."""

    @abstractmethod
    def put(self, content: bytes) -> str:
        """Store, return the SHA-256. Storing what is there and right only touches it; what is damaged it replaces."""

    def put_all(self, contents: Sequence[bytes]) -> list[str]:
        """Several at once; their SHA-256 in order. When one fails, some of the others may be stored."""
        if len(contents) < 2:
            return [self.put(content) for content in contents]
        with ThreadPoolExecutor(min(THREADS, len(contents)), "storing") as pool:
            return list(pool.map(self.put, contents))

    @abstractmethod
    def put_file(self, path: Path) -> str:
        """The same with the content of a file."""

    def get(self, digest: str) -> bytes:
        """Raises FileNotFoundError, or Damaged: never wrong bytes."""
        return b"".join(self.verified(digest))

    def get_file(self, digest: str, target: Path) -> None:
        """Write it to a path. What is there after an error is not to be used."""
        with target.open("wb") as file:
            for piece in self.verified(digest):
                file.write(piece)

    def verify(self, digest: str) -> None:
        """Read it piece by piece. Raises FileNotFoundError or Damaged."""
        for _ in self.verified(digest):
            pass

    def verified(self, digest: str) -> Iterator[bytes]:
        """Its pieces, which are right only if the last one came without Damaged."""
        seen = hashlib.sha256()
        for piece in self.pieces(digest):
            seen.update(piece)
            yield piece
        if seen.hexdigest() != digest:
            raise damaged(digest)

    @abstractmethod
    def pieces(self, digest: str) -> Iterator[bytes]:
        """Its content as it lies there. Raises FileNotFoundError."""

    @abstractmethod
    def opened(self, digest: str) -> BufferedReader | None:
        """A large file whose content is right, to be read in parts; None where `get` is the way to read it."""

    @abstractmethod
    def delete(self, digest: str) -> None: ...

    @abstractmethod
    def age(self, digest: str) -> float | None:
        """Seconds since the file was written or reused; None when it is gone."""

    def missing(self, digests: Iterable[str]) -> str | None:
        """The first of these that is not there; None also where that is not known before they are read."""
        return None

    @abstractmethod
    def after(self, cursor: str, limit: int) -> list[tuple[str, float]]:
        """At most `limit` digests with their ages, in order, from the first that is greater than `cursor`."""

    @abstractmethod
    def problem(self) -> str | None:
        """What is wrong with it now, in one sentence."""


def address(digest: str) -> str:
    """Raises FileNotFoundError for what is no digest."""
    if not DIGEST.fullmatch(digest):
        raise FileNotFoundError(digest)
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def damaged(digest: str) -> Damaged:
    log.error("file_damaged", sha256=digest)
    return Damaged(FILE_IS_DAMAGED)
