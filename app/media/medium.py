"""What every kind of dataset says of a file that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kept:
    """A file that was read. Files with one `fingerprint` are alike; `facts` are numbers and words to show.

    `remark` tells the sender what of the file was not kept.
    """

    content: bytes
    media_type: str
    fingerprint: str
    width: int | None = None
    height: int | None = None
    colour: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """One work of a file that holds several."""

    content: bytes
    title: str
    refusal: str | None = None


@dataclass(frozen=True)
class Tables:
    """Files that hold several works: their suffixes, how they are taken apart, and the suffix of what comes out.

    `rows(content, suffix)` gives nothing for a table of captions. Raises Invalid.
    """

    suffixes: tuple[str, ...]
    rows: Callable[[bytes, str], Iterator[Row]]
    suffix: str


@dataclass(frozen=True)
class Kind:
    """`read(content, name)` raises Invalid or UnsupportedMedia with the reason; `most_bytes` of one file.

    `extent` is the fact that says how large an item is, in `unit`; "" for the longer side of a picture. `totals` are
    the facts worth adding up. `picture(content, media_type)` makes a PNG to look at, where there is one.
    """

    name: str
    read: Callable[[bytes, str], Kept]
    most_bytes: Callable[[], int]
    extent: str
    unit: str
    totals: tuple[str, ...] = ()
    sidecars: bool = True  # whether a .txt beside a file is its caption
    picture: Callable[[bytes, str], bytes] | None = None
    tables: Tables | None = None
