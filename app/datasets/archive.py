"""Turns uploaded files, zip archives among them, into named byte sources. Believes nothing that an archive says."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from app.text import folded, shown
from app.zip_names import names_of
from app.zips import Limits, blocks_of, open_archive
from models.contract.message import Message

MAX_NAME = 500
# What systems, NAS and programs leave in folders, and the card of our own exports.
LEFTOVERS = re.compile(
    r"""(^|/)(
        \.[^/]* $ | \.[^./][^/]* /             # hidden: .DS_Store, ._x.png, .@__thumb, .thumbnails
      | (__MACOSX | @eaDir | \#recycle | \#snapshot | @Recycle | @Recently-Snapshot | lost\+found
        | \$RECYCLE\.BIN | RECYCLER | System\ Volume\ Information | Network\ Trash\ Folder | Temporary\ Items) /
      | (eh)?thumbs\.db(:encryptable)? $ | desktop\.ini $ | folder\.htt $ | icon\r? $ | \$[^/]*\.tmp $ | ~\$[^/]* $
    ) | ^dataset\.json$""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Source:
    """A file of an upload. `read(most)` gives at most that many bytes; raises Invalid. `refusal`: do not read it.

    `caption` is known already where the source is a part of a file.
    """

    name: str
    size: int
    read: Callable[[int], bytes]
    refusal: Message | None = None
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
    entries = archive.infolist()
    for entry, name in zip(entries, names_of(entries), strict=True):
        if name.endswith("/") or LEFTOVERS.search(name):
            continue
        refusal = why_not(entry, name, seen)
        seen.add(folded(name))
        yield Source(clean_name(name), entry.file_size, partial(read_entry, archive, entry), refusal)


def clean_name(name: str) -> str:
    """With forward slashes, not too long: a label."""
    return shown(name.replace("\\", "/"))[-MAX_NAME:] or "?"


def is_archive(name: str, file: BinaryIO) -> bool:
    """A zip; but for compressed MusicXML, which is one score."""
    file.seek(0)
    return not name.lower().endswith(".mxl") and file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def read_file(file: BinaryIO, most: int) -> bytes:
    file.seek(0)
    return file.read(most)


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    return next(blocks_of(archive, entry, most), b"")


def why_not(entry: zipfile.ZipInfo, name: str, seen: set[str]) -> Message | None:
    """The reason to refuse an entry, from its description alone."""
    if name.startswith("/") or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
        return Message("Its path leads out of the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Message("It is a link")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others unpack a block whole before its size is known: a hundred bytes can fill the memory.
        return Message("Its compression method is not supported; use an ordinary zip")
    if entry.flag_bits & 0x1:
        return Message("It is encrypted")
    if folded(name) in seen:
        return Message("The archive has another file with this name")
    return None
