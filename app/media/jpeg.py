"""How many scans a foreign JPEG has: of several, a decoder holds all numbers in memory before it draws a row."""

from __future__ import annotations

SCAN = b"\xff\xda"
ALONE = frozenset(range(0xD0, 0xDA)) | {0x01}  # markers without a length


def scans(content: bytes, most: int = 2) -> int:
    """At most `most` of them are counted. What its segments hold, as a thumbnail, does not count."""
    at, found = 2, 0
    while at + 4 <= len(content) and found < most:
        if content[at] != 0xFF:
            return found
        marker = content[at + 1]
        if marker == 0xFF or marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        found += marker == 0xDA
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xDA:
            at = next_marker(content, at)
    return found


def next_marker(content: bytes, at: int) -> int:
    """Where the numbers of a scan end: at an 0xFF that is neither stuffed nor a restart."""
    while 0 <= (at := content.find(b"\xff", at)) < len(content) - 1:
        if content[at + 1] != 0 and not 0xD0 <= content[at + 1] <= 0xD7:
            return at
        at += 2
    return len(content)
