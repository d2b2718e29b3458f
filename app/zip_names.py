"""Names of zip entries. A zip says that a name is UTF-8, or says nothing; then it has to be guessed.

In this order: what Info-ZIP adds beside the name (field 0x7075), UTF-8 where it is valid, and else the one of the old
encodings of Windows and DOS in which the archive's names look most like text.
"""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

UTF8_FLAG, UNICODE_PATH = 0x800, 0x7075
COMMON = {"gbk": (0xB0, 0xD7), "cp932": (0x88, 0x97), "big5": (0xA4, 0xC6)}  # first bytes
SAMPLE = 1000  # names that a guess is made from
OLD = ("gbk", "cp932", "big5", "cp437")  # the first of those that fit equally well


def names_of(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """As they were meant, with forward slashes."""
    raw = [None if entry.flag_bits & UTF8_FLAG else entry.orig_filename.encode("cp437") for entry in entries]
    known = [
        entry.filename if name is None else beside(entry, name) or in_utf8(name)
        for entry, name in zip(entries, raw, strict=True)
    ]
    unknown = [name for name, found in zip(raw, known, strict=True) if found is None and name is not None]
    encoding = likeliest(unknown[:SAMPLE])
    names = [
        found if found is not None else (name or b"").decode(encoding, "replace")
        for found, name in zip(known, raw, strict=True)
    ]
    return [name.replace("\\", "/") for name in names]


def beside(entry: zipfile.ZipInfo, name: bytes) -> str | None:
    """The name in UTF-8 that Info-ZIP keeps beside it, where that belongs to this name still."""
    at, extra = 0, entry.extra
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + size]
        if kind == UNICODE_PATH and len(body) > 5 and body[0] == 1 and body[1:5] == struct.pack("<I", zlib.crc32(name)):
            return in_utf8(body[5:])
        at += 4 + size
    return None


def in_utf8(name: bytes) -> str | None:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return None


def likeliest(names: Sequence[bytes]) -> str:
    return max(OLD, key=lambda encoding: sum(likelihood(name, encoding) for name in names)) if names else "cp437"


def likelihood(name: bytes, encoding: str) -> float:
    """From -1 to 1: how much what is not ASCII looks like words in the script of this encoding."""
    try:
        text = name.decode(encoding)
    except UnicodeDecodeError:
        return -1.0
    marks = [commonness(sign, encoding) - 0.4 * is_joined(text, i) for i, sign in enumerate(text) if sign > "\x7f"]
    return sum(marks) / max(1, len(marks))


def is_joined(text: str, at: int) -> bool:
    """A character of two bytes between Latin letters is rather one letter with its accent, and the next letter."""
    beside = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return text[at] > "\u3000" and any(c.isascii() and c.isalpha() for c in beside)


def commonness(sign: str, encoding: str) -> float:
    if encoding == "cp437":  # letters with accents; not the lines and boxes of DOS, nor Greek beside them
        return 0.6 if "LATIN" in unicodedata.name(sign, "") and sign.isalpha() else -0.5
    if "\u3041" <= sign <= "\u30ff":  # kana: Chinese encodings have them too, and no Chinese name
        return 1.0 if encoding == "cp932" else 0.2
    if "\uff61" <= sign <= "\uff9f":  # of half width: what Chinese looks like in a Japanese encoding
        return -1.0
    if "\u4e00" <= sign <= "\u9fff":  # the commonest ones stand together in each encoding
        first, last = COMMON[encoding]
        return 0.9 if first <= sign.encode(encoding)[0] <= last else -0.2
    return 0.3 if "\u3000" <= sign <= "\u303f" or "\uff01" <= sign <= "\uff5e" else -0.5
