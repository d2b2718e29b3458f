"""Animated WebP, GIF and PNG taken apart and put together again from what is needed to play them.

What else foreign files hold (where and by whom they were made, comments, other files behind their end) is left out.
WebP: https://developers.google.com/speed/webp/docs/riff_container; GIF: GIF89a; PNG: the third edition, with APNG.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from app.errors import Invalid, UnsupportedMedia
from app.media.png import COLOURS, SIGNATURE, is_whole

RIFF_HEAD = 12
WEBP_KEPT = (b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L")
WEBP_DESCRIBED = 0b00001100  # flags of VP8X: it has EXIF, it has XMP
PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND")
GIF_LOOPS, GIF_CONTROL, GIF_APPLICATION = b"NETSCAPE2.0", 0xF9, 0xFF


def bare(content: bytes) -> tuple[bytes, str]:
    """(the same film with nothing beside it, its media type). Raises UnsupportedMedia, and Invalid for a broken one."""
    try:
        if content[:4] == b"RIFF" and content[8:RIFF_HEAD] == b"WEBP":
            return bare_webp(content), "image/webp"
        if content[:6] in (b"GIF87a", b"GIF89a"):
            return b"".join(gif_parts(content)), "image/gif"
        if content[: len(SIGNATURE)] == SIGNATURE:
            return SIGNATURE + b"".join(png_chunks(content)), "image/apng"
    except (IndexError, struct.error) as error:
        raise Invalid("The film is broken or cut off") from error
    raise UnsupportedMedia("The file is not an animated WebP, GIF or PNG; MP4 and WebM are not read yet")


def taken(content: bytes, at: int, length: int) -> bytes:
    """Raises IndexError where there is less."""
    if at + length > len(content):
        raise IndexError
    return content[at : at + length]


def bare_webp(content: bytes) -> bytes:
    parts, at = [b"WEBP"], RIFF_HEAD
    end = 8 + int.from_bytes(content[4:8], "little")
    while at < end:
        name, length = struct.unpack("<4sI", taken(content, at, 8))
        body = bytearray(taken(content, at + 8, length))
        at += 8 + length + length % 2
        if name == b"VP8X":
            body[0] &= ~WEBP_DESCRIBED
        if name in WEBP_KEPT:
            parts.append(struct.pack("<4sI", name, length) + body + bytes(length % 2))
    whole = b"".join(parts)
    return struct.pack("<4sI", b"RIFF", len(whole)) + whole


def png_chunks(content: bytes) -> Iterator[bytes]:
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", taken(content, at, 8))
        chunk = taken(content, at, 12 + length)
        at += 12 + length
        if name not in PNG_NEEDED and name not in COLOURS:
            continue
        if is_whole(memoryview(chunk)):
            yield chunk
        elif name in PNG_NEEDED:
            raise Invalid("The film is broken or cut off")


def gif_parts(content: bytes) -> Iterator[bytes]:
    """Raises Invalid also where a frame reaches beyond the canvas: readers enlarge it then."""
    width, height, flags = struct.unpack("<HHB", taken(content, 6, 5))
    at = 13 + colours(flags)
    yield taken(content, 0, at)
    while (kind := taken(content, at, 1)) != b";":
        start = at
        if kind == b"!":
            label = content[at + 1]
            at = after_blocks(content, at + 2)
            loops = label == GIF_APPLICATION and content[start + 3 : start + 14] == GIF_LOOPS
            if label == GIF_CONTROL or loops:
                yield content[start:at]
        elif kind == b",":
            left, top, across, down, flags = struct.unpack("<HHHHB", taken(content, at + 1, 9))
            if left + across > width or top + down > height:
                raise Invalid("A frame of it is larger than the film")
            at = after_blocks(content, at + 11 + colours(flags))
            yield content[start:at]
        else:
            raise Invalid("The film is broken or cut off")
    yield b";"


def colours(flags: int) -> int:
    """Bytes of the table of colours that follows."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def after_blocks(content: bytes, at: int) -> int:
    """Where a chain of blocks ends, each of which says how long it is."""
    while length := content[at]:
        at += 1 + length
    return at + 1
