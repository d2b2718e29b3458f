"""A text as its page sets it: whole, as verse, prose or a scene, and Chinese in both scripts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from opencc import OpenCC

from app.artworks import service
from app.artworks.tables import Artwork
from app.errors import NotFound
from app.media import of_type, texts
from models.contract.values import TEXTS
from models.contract.writing import starts_speech

LONGEST = 20_000  # characters that a page shows
LONGEST_LINE = 40  # characters of a line of verse


@cache
def converter(to: str) -> OpenCC:
    """Made when a Chinese text is first read: its tables take a while."""
    return OpenCC(to)


@dataclass(frozen=True)
class Part:
    """Of a scene: what a `speaker` says, or a stage direction where nobody speaks."""

    speaker: str
    words: str


@dataclass(frozen=True)
class Reading:
    """`other` is the same in the other script, where it is Chinese and differs; `is_verse` by its short lines; `scene`
    has parts where it is one.
    """

    text: str
    scene: list[Part]
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
    scene = scene_of(text)
    is_verse = not scene and len(lines) > 1 and max(map(len, lines)) <= LONGEST_LINE
    other = other if other != text else ""
    return Reading(text, scene, is_verse, is_chinese, is_traditional, other, len(whole) > LONGEST)


def scene_of(text: str) -> list[Part]:
    """Nothing, unless most of its paragraphs begin with a name in capitals on a line of its own."""
    parts = [part_of(paragraph) for paragraph in text.split("\n\n") if paragraph.strip()]
    speeches = sum(bool(part.speaker) for part in parts)
    return parts if 2 * speeches > len(parts) else []


def part_of(paragraph: str) -> Part:
    name, _, words = paragraph.strip("\n").partition("\n")
    return Part(name, words) if words and starts_speech(paragraph.strip("\n")) else Part("", paragraph)
