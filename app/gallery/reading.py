"""A text as its page sets it: whole, as verse or prose, and Chinese in both scripts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from opencc import OpenCC

from app.artworks import service
from app.artworks.tables import Artwork
from app.errors import NotFound
from app.media import of_type, texts
from models.contract.values import TEXTS

LONGEST = 20_000  # characters that a page shows
LONGEST_LINE = 40  # characters of a line of verse


@cache
def converter(to: str) -> OpenCC:
    """Made when a Chinese text is first read: its tables take a while."""
    return OpenCC(to)


@dataclass(frozen=True)
class Reading:
    """`other` is the same in the other script, where it is Chinese and differs; `is_verse` by its short lines."""

    text: str
    is_verse: bool
    is_chinese: bool
    is_traditional: bool
    other: str
    is_cut: bool


def reading(work: Artwork) -> Reading | None:
    """None for a work that is no text, or whose file is gone."""
    if of_type(work.media_type).name != TEXTS:
        return None
    try:
        whole = texts.bare(service.content(work))
    except NotFound:
        return None
    text = whole[:LONGEST]
    letters = [c for c in text if c.isalpha()]
    is_chinese = 2 * sum("\u3400" <= c <= "\u9fff" for c in letters) > len(letters)
    simplified, traditional = (
        (converter("t2s").convert(text), converter("s2t").convert(text)) if is_chinese else ("", "")
    )
    is_traditional = is_chinese and text != simplified
    other = simplified if is_traditional else traditional
    lines = [line for line in text.split("\n") if line]
    is_verse = len(lines) > 1 and max(map(len, lines)) <= LONGEST_LINE
    return Reading(text, is_verse, is_chinese, is_traditional, other if other != text else "", len(whole) > LONGEST)
