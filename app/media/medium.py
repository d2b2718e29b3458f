"""The protocol of a medium: what a work, an upload or an item of a dataset may be, and how each is read, shown, and
made to say where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.errors import Invalid
from models.contract.message import Message

SAYS_NOTHING = "This file does not say how it was made; it has to be one made by a studio"


@dataclass(frozen=True)
class Kept:
    """A file as it is kept. Files with one `fingerprint` are alike; `facts` are numbers and words to show.

    `remark` tells the sender what of the file was not kept.
    """

    content: bytes
    media_type: str
    fingerprint: str = ""
    width: int | None = None
    height: int | None = None
    colour: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    remark: Message | None = None


@dataclass(frozen=True)
class Row:
    """One work of a file that holds several."""

    content: bytes
    title: str
    refusal: Message | None = None


@dataclass(frozen=True)
class Tables:
    """Files that hold several works: their suffixes, how they are taken apart, and the suffix of what comes out.

    `rows(content, suffix)` gives nothing for a table of captions. Raises Invalid.
    """

    suffixes: tuple[str, ...]
    rows: Callable[[bytes, str], Iterator[Row]]
    suffix: str


CAPTIONS = Message(
    "Captions come from .txt files beside the pictures, from metadata.jsonl, from CSV, or from file names."
)


DRAW = Message("Draw")


class Work(Protocol):
    """What is known of a work, an upload or an item without its file."""

    width: int | None
    height: int | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class Words:
    """What people read of a medium: what works of it are called, that one `has_to_be` of it, what may be dropped into a
    dataset and where captions come from, what its extent is; `item(work)` says what one is; to `make` one.
    """

    title: Message
    has_to_be: Message
    drop: Message
    extent: Message
    item: Callable[[Work], Message]
    captions: Message = CAPTIONS
    make: Message = DRAW


def says_nothing(content: bytes) -> dict[str, Any]:
    raise Invalid(SAYS_NOTHING)


@dataclass(frozen=True)
class Medium:
    """`types` are suffixes by media type. `read(content, name)` is the guard for a stranger's file that becomes an item
    of a dataset, `take` the same for one that a model is to work from; both raise Invalid or UnsupportedMedia with the
    reason. `most_bytes` of one file. `words` are what pages say of it.

    `extent` is the fact that says how large an item is, in `unit`; "" for the longer side of a picture. `totals` are
    the facts worth adding up, and what their sum is called. `poster(content, media_type)` makes a PNG to look at; where
    there is none, a work is shown by its facts. `is_own_poster`: the file itself is one.

    What models make and are given has `encode(value)`, a file of it; `decode(content, media_type)`, the value again;
    `sign(content, provenance)`, the same file that says how it was made; and `signed(content)`, what it says, which
    raises Invalid where that is nothing.
    """

    name: str
    types: dict[str, str]
    read: Callable[[bytes, str], Kept]
    most_bytes: Callable[[], int]
    words: Words
    extent: str
    unit: Message
    take: Callable[[bytes, str], Kept] | None = None  # as `read`, where there is none
    suffixes: tuple[str, ...] = ()  # of the files that are it by their name; all others are pictures by their content
    totals: Mapping[str, Message] = field(default_factory=dict)
    sidecars: bool = True  # whether a .txt beside a file is its caption
    poster: Callable[[bytes, str], bytes] | None = None
    is_own_poster: bool = False
    tables: Tables | None = None
    encode: Callable[[Any], Kept] | None = None
    decode: Callable[[bytes, str], Any] | None = None
    sign: Callable[[bytes, dict[str, Any]], bytes] | None = None
    signed: Callable[[bytes], dict[str, Any]] = says_nothing
