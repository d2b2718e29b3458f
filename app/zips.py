"""Opens zip archives that strangers made. Believes nothing that an archive says."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.errors import Invalid

SMALL = 1 << 20  # bytes of a directory that are read whatever they hold
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Limits:
    """What one archive may hold."""

    entries: int = 250_000
    expanded_bytes: int = 20 << 30
    ratio: int = 100


def open_archive(file: BinaryIO, limits: Limits) -> zipfile.ZipFile:
    """Raises Invalid for what is broken, a bomb, or beyond the limits."""
    count, directory_bytes = declared_directory(file)
    # Before zipfile reads it all into memory.
    if count > limits.entries or directory_bytes > max(limits.entries * 256, SMALL):
        raise Invalid("The archive has too many entries; at most {most}", most=limits.entries)
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:
        raise Invalid("The archive is broken or cut off") from error
    entries = archive.infolist()
    expanded, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if len(entries) > limits.entries:
        raise Invalid("The archive has too many entries; at most {most}", most=limits.entries)
    if expanded > limits.expanded_bytes:
        raise Invalid("The archive would unpack to more than {gibibytes} GiB", gibibytes=limits.expanded_bytes >> 30)
    if packed > file.seek(0, 2):
        raise Invalid("The archive's entries overlap")
    if expanded > limits.ratio * max(packed, 1 << 16):
        raise Invalid("The archive would unpack to more than {times} times its size", times=limits.ratio)
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


def blocks_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> Iterator[bytes]:
    """The entry's bytes, `size` at a time. Raises Invalid."""
    try:
        with archive.open(entry) as opened:
            while block := opened.read(size):
                yield block
    except Exception as error:  # a hostile entry makes zipfile raise whatever it likes
        raise Invalid("It is broken inside the archive") from error
