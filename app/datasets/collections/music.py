"""Bach's chorales in four voices, and tunes for the fiddle by their kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.datasets.collections.parts import fraction, source
from app.datasets.collections.scores import BACH, FIDDLE, MUSIC21
from app.datasets.prepared import ScoreItem, write_scores
from app.errors import Invalid
from app.media import abc, musicxml, scores
from app.packages.pypi import fetch_pypi
from models.contract.values import Score

HELD_OUT = {"chorales": 0.08, "tunes": 0.04}  # of melodies
ALLOWED = b"used by permission"  # what the files say whose encoder allowed it; the others stay out
VOICES = ["Soprano", "Alto", "Tenor", "Bass"]
BEGINNING = 8  # intervals by which melodies are told apart
# By what a tune's own field says, and how many quarters a minute it is danced to: the files do not say.
KINDS = {
    "reel": ("reel", 200),
    "hornpipe": ("hornpipe", 160),
    "slip ?jig": ("slip jig", 165),
    "jig": ("jig", 170),
    "strathspey": ("strathspey", 120),
    "clog": ("clog", 140),
    "fling": ("fling", 150),
    "waltz": ("waltz", 140),
    "march": ("march", 110),
    "air": ("air", 90),
}
UNNAMED, SUNG = ("", 120), 80  # a tune of no kind, and quarters a minute of a chorale
TITLES = re.compile(r"\s*--.*$|\s+\d+\.?$")


def beginning(score: Score) -> str:
    """The first intervals of the highest part: settings of one melody stay on one side of the split."""
    melody = [note.pitch for note in score.notes if note.part == 0]
    return ",".join(str(b - a) for a, b in pairwise(melody[: BEGINNING + 1]))


def chorales(place: Path) -> Iterator[tuple[str, Score, str]]:
    for path in sorted(place.glob(BACH)):
        content = musicxml.unpacked(path.read_bytes())
        if ALLOWED not in content:
            continue
        score = scores.decode(content, scores.MUSICXML)
        if len(score.parts) == len(VOICES):
            yield path.stem.upper().replace("BWV", "BWV "), replace(score, tempo=SUNG), ""


def tunes(place: Path) -> Iterator[tuple[str, Score, str]]:
    for path in sorted(place.glob(FIDDLE)):
        for row in abc.tunes(path.read_bytes(), ".abc"):
            try:
                score = scores.decode(row.content, scores.ABC)
            except Invalid:
                continue
            if len(score.parts) == 1:
                said = abc.rhythm(row.content)
                kind, tempo = next((found for pattern, found in KINDS.items() if re.search(pattern, said)), UNNAMED)
                yield TITLES.sub("", row.title), replace(score, tempo=tempo), kind


def items(name: str, place: Path, check_cancelled: Callable[[], None]) -> Iterator[ScoreItem]:
    """Each piece once."""
    seen = set[str]()
    for title, score, kind in {"chorales": chorales, "tunes": tunes}[name](place):
        check_cancelled()
        notes = [(round(note.start, 3), note.pitch - score.notes[0].pitch, note.part) for note in score.notes]
        own = sha256(repr(notes).encode()).hexdigest()[:24]  # in whatever key
        if own not in seen:
            seen.add(own)
            split = "held_out" if fraction(beginning(score)) < HELD_OUT[name] else "train"
            yield ScoreItem.of(own, split, score, title, kind)


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    place = fetch_pypi(MUSIC21, cache, check_cancelled)
    titles = {"chorales": "Chorales in four voices", "tunes": "Tunes by kind"}
    card = {"name": name, "title": titles[name], "sources": [source(MUSIC21)]}
    return write_scores(folder, items(name, place, check_cancelled), card)
