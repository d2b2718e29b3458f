"""Chinese verse: poems of Tang and Song in lines of five or seven characters, and ci by their tunes, with the rhyme
table of their time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from opencc import OpenCC

from app.datasets.collections.parts import fraction, source
from app.datasets.collections.texts import CHINESE_POETRY
from app.datasets.prepared import TextItem, write_texts
from app.datasets.rhymes import PINGSHUI, rhyme_table
from app.packages.npm import fetch_npm

HELD_OUT = 0.02  # of opening lines
LINES, WIDTHS = (4, 8), (5, 7)  # of poems that are no ci: how many, and of how many characters
NAMELESS = "失調名"
STRANGE = re.compile(r"[^\w，。？！；、]|[A-Za-z0-9_]")  # gaps, brackets, notes
STOPS = re.compile(r"[，。？！；、]")
NUMBER = re.compile(r"\s*(其)?[一二三四五六七八九十百]+$|[\(（].*$")  # of a poem in a series


def poems(path: Path, convert: Callable[[str], str] = str) -> Iterator[TextItem]:
    """Those of a file that have no gaps or notes; the name of a tune is their form."""
    for row in json.loads(path.read_text("utf-8")):
        text = convert("".join(row.get("paragraphs", [])))
        tune = convert(row.get("rhythmic", "")).partition("・")[0]
        lines = [line for line in STOPS.split(text) if line]
        widths = {len(line) for line in lines}
        is_verse = len(lines) in LINES and len(widths) == 1 and widths <= set(WIDTHS)
        if not text or STRANGE.search(text) or tune == NAMELESS or not (tune or is_verse):
            continue
        yield TextItem(
            id=sha256("".join(lines).encode()).hexdigest()[:24],
            split="held_out" if fraction(lines[0]) < HELD_OUT else "train",
            title=NUMBER.sub("", convert(row.get("title", ""))).strip(" 。，"),
            author=convert(row.get("author", "")),
            text=text,
            form=tune,
        )


def once(items: Iterator[TextItem]) -> Iterator[TextItem]:
    """Each poem once, whoever it is ascribed to."""
    seen = set[str]()
    for item in items:
        if item.id not in seen:
            seen.add(item.id)
            yield item


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    table = rhyme_table(cache, check_cancelled)
    place = fetch_npm(CHINESE_POETRY, cache, check_cancelled) / "dist"
    traditional = OpenCC("s2t").convert

    def every() -> Iterator[TextItem]:
        for path in sorted(place.glob("quantangshi/poet.*.*.json")):
            check_cancelled()
            yield from poems(path)
        for path in sorted(place.glob("songci/ci.song.*.json")):
            check_cancelled()
            yield from poems(path, traditional)

    card = {"name": name, "title": "Chinese verse", "sources": [source(CHINESE_POETRY), source(PINGSHUI)]}
    return write_texts(folder, once(every()), card, {"rhymes.json": json.dumps(table, ensure_ascii=False)})
