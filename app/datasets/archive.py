"""Turns uploaded files, zip archives among them, into named byte sources. Believes nothing that an archive says."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from app.errors import Invalid

MAX_NAME = 500
# What systems leave in folders, and the card of our own exports.
LEFTOVERS = re.compile(r"((^|/)(__MACOSX/|\.[^/]*$|Thumbs\.db$|desktop\.ini$))|^dataset\.json$", re.IGNORECASE)
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Limits:
    """What one archive may hold."""

    entries: int = 250_000
    expanded_bytes: int = 20 << 30
    ratio: int = 100


@dataclass(frozen=True)
class Source:
    """A file of an upload. `read(most)` gives at most that many bytes; raises Invalid. `refusal`: do not read it.

    `caption` is known already where the source is a part of a file.
    """

    name: str
    size: int
    read: Callable[[int], bytes]
    refusal: str | None = None
    caption: str | None = None


@contextmanager
def opened(name: str, file: BinaryIO, limits: Limits) -> Iterator[Callable[[], Iterator[Source]]]:
    """Gives a function that lists the sources, as often as it is called: the file itself, or the entries of a zip.

    Raises Invalid when the archive as a whole is not acceptable.
    """
    if is_archive(name, file):
        with open_archive(file, limits) as archive:
            yield partial(entries_of, archive)
    else:
        size = file.seek(0, 2)
        one = [] if LEFTOVERS.search(clean_name(name)) else [Source(clean_name(name), size, partial(read_file, file))]
        yield lambda: iter(one)


def entries_of(archive: zipfile.ZipFile) -> Iterator[Source]:
    seen: set[str] = set()
    for entry in archive.infolist():
        if entry.filename.endswith("/") or LEFTOVERS.search(entry.filename):
            continue
        refusal = why_not(entry, seen)
        seen.add(entry.filename.casefold())
        yield Source(clean_name(entry.filename), entry.file_size, partial(read_entry, archive, entry), refusal)


def clean_name(name: str) -> str:
    """Printable, with forward slashes, not too long: a label."""
    shown = "".join(c for c in name.replace("\\", "/") if c.isprintable())
    return shown[-MAX_NAME:] or "?"


def is_archive(name: str, file: BinaryIO) -> bool:
    """A zip; but for compressed MusicXML, which is one score."""
    file.seek(0)
    return not name.lower().endswith(".mxl") and file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def read_file(file: BinaryIO, most: int) -> bytes:
    file.seek(0)
    return file.read(most)


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    try:
        with archive.open(entry) as opened:
            return opened.read(most)
    except Exception as error:  # a hostile entry makes zipfile raise whatever it likes
        raise Invalid("It is broken inside the archive") from error


def why_not(entry: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """The reason to refuse an entry, from its description alone."""
    name = entry.filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
        return "Its path leads out of the archive"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "It is a link"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others unpack a block whole before its size is known: a hundred bytes can fill the memory.
        return "It is packed in a way that is not read here; use an ordinary zip"
    if entry.flag_bits & 0x1:
        return "It is encrypted"
    if entry.filename.casefold() in seen:
        return "The archive holds another file of this name"
    return None


def open_archive(file: BinaryIO, limits: Limits) -> zipfile.ZipFile:
    """Raises Invalid for what is broken, a bomb, or beyond the limits."""
    count, directory_bytes = declared_directory(file)
    if count > limits.entries or directory_bytes > limits.entries * 256:  # before zipfile reads it all into memory
        raise Invalid(f"The archive has too many entries; at most {limits.entries}")
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:
        raise Invalid("The archive is broken or cut off") from error
    entries = archive.infolist()
    expanded, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if len(entries) > limits.entries:
        raise Invalid(f"The archive has too many entries; at most {limits.entries}")
    if expanded > limits.expanded_bytes:
        raise Invalid(f"The archive would unpack to more than {limits.expanded_bytes >> 30} GiB")
    if packed > file.seek(0, 2):
        raise Invalid("The archive's entries overlap")
    if expanded > limits.ratio * max(packed, 1 << 16):
        raise Invalid(f"The archive would unpack to more than {limits.ratio} times its size")
    return archive


def declared_directory(file: BinaryIO) -> tuple[int, int]:
    """(entries, bytes of the central directory) as the end of the archive declares them. Raises Invalid."""
    start = max(0, file.seek(0, 2) - (1 << 16) - 22 - 20)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + 22:
        raise Invalid("The archive is broken or cut off")
    count, directory_bytes = struct.unpack_from("<HI", tail, at + 10)
    record = start + at - 20 - 56  # where zipfile looks for the 64-bit numbers, whatever the locator says
    if at >= 20 and tail[at - 20 : at - 16] == LOCATOR64 and record >= 0:
        file.seek(record)
        if (found := file.read(56)).startswith(END64):
            count, directory_bytes = struct.unpack_from("<QQ", found, 32)
    return count, directory_bytes
