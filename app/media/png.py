"""The chunks of a foreign PNG: those that its picture is made of, and what it says of its colours.

Everything else stays out, so that text over a limit or a broken remark costs itself and not the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Ancillary chunks that a decoder needs: transparency, frames, orientation.
NEEDED = (b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf")
COLOURS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
MOST_PROFILE = 16 << 20  # bytes, unpacked


@dataclass(frozen=True)
class Colours:
    """What a PNG says of its colours: code points (ITU-T H.273), a profile, or a gamma and primaries."""

    cicp: tuple[int, int] | None = None  # primaries, transfer
    icc: bytes | None = None
    is_srgb: bool = False
    gamma: float | None = None  # of the file: 1 / 2.2 for most screens
    chromaticities: tuple[float, ...] | None = None  # x and y of white, red, green, blue


def chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of each, length and checksum included, until one is cut off."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, end = content[at + 4 : at + 8], at + 12 + length
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def stripped(content: bytes) -> tuple[bytes, Colours]:
    """(the PNG without what a decoder does not need, its colours). Broken ones are for the decoder to refuse."""
    view, parts, found = memoryview(content), [memoryview(SIGNATURE)], dict[bytes, bytes]()
    for kind, begin, end in chunks(content):
        is_critical = kind[:1].isupper()
        if is_critical or (kind in NEEDED and is_whole(view[begin:end])):
            parts.append(view[begin:end])
        elif kind in COLOURS and is_whole(view[begin:end]):
            found.setdefault(kind, content[begin + 8 : end - 4])
    return b"".join(parts), colours(found)


def text(content: bytes, keyword: str, most: int = 4 << 20) -> str | None:
    """What stands under a keyword, in any of the three kinds of text; none where it is missing or too long."""
    for kind, begin, end in chunks(content):
        name, _, rest = content[begin + 8 : end - 4].partition(b"\0")
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or name != keyword.encode("latin-1"):
            continue
        packed = kind == b"zTXt"
        if kind == b"iTXt":
            packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        elif packed:
            rest = rest[1:]
        found = unpacked(rest, most) if packed else rest
        return None if found is None else found.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")
    return None


def is_whole(chunk: memoryview) -> bool:
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def colours(found: dict[bytes, bytes]) -> Colours:
    cicp, gamma, primaries = found.get(b"cICP", b""), found.get(b"gAMA", b""), found.get(b"cHRM", b"")
    return Colours(
        (cicp[0], cicp[1]) if len(cicp) == 4 else None,
        profile(found.get(b"iCCP", b"")),
        b"sRGB" in found,
        struct.unpack(">I", gamma)[0] / 100_000 if len(gamma) == 4 else None,
        tuple(value / 100_000 for value in struct.unpack(">8I", primaries)) if len(primaries) == 32 else None,
    )


def profile(chunk: bytes) -> bytes | None:
    """Of `name`, 0, the method, and what it packed; none where that is broken or too much."""
    _, _, rest = chunk.partition(b"\0")
    return unpacked(rest[1:], MOST_PROFILE) if rest else None


def unpacked(data: bytes, most: int) -> bytes | None:
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(data, most)
    except zlib.error:
        return None
    return found if unpacking.eof else None
