"""The same on S3-compatible storage, where a single PUT is atomic."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BufferedReader
from pathlib import Path
from typing import Any

from app.errors import DomainError, StorageFull, Unavailable
from app.storage.contract import DIGEST, Storage, address

PIECE = 8 << 20  # bytes that are fetched with one request
LAST = "~"  # after every digest
SOON, LATER = 5, 60
FULL, NO_BUCKET, REFUSED, AWAY = "full", "no bucket", "refused", "away"
SIGNS = {  # in what the client says of an error
    FULL: ("507 Insufficient Storage", "<Code>XMinioStorageFull", "<Code>QuotaExceeded"),
    NO_BUCKET: ("<Code>NoSuchBucket",),
    REFUSED: ("401 Unauthorized", "403 Forbidden", "//169.254.169.254/"),  # the last is asked where none are given
}


class S3Storage(Storage):
    def __init__(self, url: str, endpoint: str = "") -> None:
        self.store = store(url, endpoint, seconds=30, retries=2)
        self.hasty = store(url, endpoint, seconds=2.5, retries=0)

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        with faults(saving=True):
            self.store.put(address(digest), content)
        return digest

    def put_file(self, path: Path) -> str:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with faults(saving=True):
            self.store.put(address(digest), path)
        return digest

    def pieces(self, digest: str) -> Iterator[bytes]:
        with faults():
            found = self.store.get(address(digest))
            size = found.meta["size"]
            if size <= PIECE:
                yield bytes(found.bytes())
                return
            del found  # every request has to end in time: a large file takes several
            for start in range(0, size, PIECE):
                yield bytes(self.store.get_range(address(digest), start=start, end=min(start + PIECE, size)))

    def opened(self, digest: str) -> BufferedReader | None:
        """None: large ones too are fetched and verified whole, for now."""
        return None

    def delete(self, digest: str) -> None:
        with faults():
            self.store.delete(address(digest))

    def age(self, digest: str) -> float | None:
        try:
            with faults():
                return time.time() - float(self.store.head(address(digest))["last_modified"].timestamp())
        except FileNotFoundError:
            return None

    def after(self, cursor: str, limit: int) -> list[tuple[str, float]]:
        page: list[tuple[str, float]] = []
        offset = f"{cursor[:2]}/{cursor[2:4]}/{cursor}" if cursor else None
        with faults():
            for entries in self.store.list(offset=offset, chunk_size=limit):
                for entry in entries:
                    name = str(entry["path"]).rpartition("/")[2]
                    if len(page) < limit and DIGEST.fullmatch(name) and address(name) == entry["path"]:
                        page.append((name, time.time() - entry["last_modified"].timestamp()))
                if len(page) == limit:
                    break
        return page

    def problem(self) -> str | None:
        from obstore.exceptions import BaseError

        try:
            next(iter(self.hasty.list(offset=LAST, chunk_size=1)), None)
        except BaseError as error:
            return {
                FULL: "The storage is full",
                NO_BUCKET: "The bucket of the storage is missing",
                REFUSED: "The storage refuses the studio's credentials",
                AWAY: "The storage does not answer",
            }[kind_of(error)]
        return None


def store(url: str, endpoint: str, seconds: float, retries: int) -> Any:
    from obstore.store import from_url

    limits = {"connect_timeout": timedelta(seconds=2), "timeout": timedelta(seconds=seconds)}
    made: Any = from_url  # its types want one cloud or another
    return made(
        url,
        config={"endpoint": endpoint} if endpoint else {},
        client_options={**limits, "allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=seconds)},
    )


@contextmanager
def faults(saving: bool = False) -> Iterator[None]:
    """FileNotFoundError passes; what else goes wrong is raised as StorageFull or Unavailable."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        kind = kind_of(error)
        if isinstance(error, FileNotFoundError) and kind != NO_BUCKET:
            raise
        raise (not_saved(kind) if saving else not_read(kind)) from error


def kind_of(error: Exception) -> str:
    told = str(error).partition("Debug source")[0]
    return next((kind for kind, signs in SIGNS.items() if any(sign in told for sign in signs)), AWAY)


def not_saved(kind: str) -> DomainError:
    if kind == FULL:
        return StorageFull("The storage is full; nothing was saved", retry_after=LATER)
    if kind == NO_BUCKET:
        return Unavailable("The bucket of the storage is missing; nothing was saved", retry_after=LATER)
    if kind == REFUSED:
        return Unavailable("The storage refuses the studio's credentials; nothing was saved", retry_after=LATER)
    return Unavailable("The storage is unreachable; nothing was saved, try again in a few seconds", retry_after=SOON)


def not_read(kind: str) -> DomainError:
    if kind == NO_BUCKET:
        return Unavailable("The bucket of the storage is missing", retry_after=LATER)
    if kind == REFUSED:
        return Unavailable("The storage refuses the studio's credentials", retry_after=LATER)
    return Unavailable("The storage is unreachable; try again in a few seconds", retry_after=SOON)
