"""A poem as it is learnt: its form, its characters, their tones, and the group in which it rhymes. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.verse.forms import EITHER, Form
from models.verse.rhymes import Rhymes

LINES = re.compile(r"[，。？！；、,.?!;\s]+")
# A place that a token is written for: the line and the place in it from its end, from 1; whether it rhymes; its tone.
Slot = tuple[int, int, int, int]
NOWHERE: Slot = (0, 0, 0, 0)
PLAIN, RHYMING = 1, 2
WHOLE_LINE, RUN = 5, 12  # characters that a line, or any others in a row, have at least to be copied
TONES = {EITHER: 1, "p": 2, "z": 3}


@dataclass(frozen=True)
class Poem:
    """`group` is that of the first set of lines that rhyme, None where they have none in common."""

    form: Form
    characters: str
    group: str | None
    first_rhymes: bool

    def slots(self, tones: Iterable[str]) -> list[Slot]:
        return slots(self.form, self.first_rhymes, tones)


def slots(form: Form, first_rhymes: bool, tones: Iterable[str]) -> list[Slot]:
    """One a character; `tones` are what is said of each: level, oblique, or either."""
    rhymed = frozenset[int]().union(*form.rhymed(first_rhymes))
    return [
        (
            line + 1,
            form.lines[line] - place,
            RHYMING if line in rhymed and place == form.lines[line] - 1 else PLAIN,
            TONES[tone],
        )
        for (line, place), tone in zip(form.places, tones, strict=True)
    ]


def lines_of(text: str) -> list[str]:
    return [line for line in LINES.split(text) if line]


def pieces_of(text: str) -> Iterator[str]:
    """By which a copy is known: lines of five characters and more, and twelve in a row that hold no such line."""
    lines, places, now = lines_of(text), list[tuple[int, int]](), 0
    for line in lines:
        if len(line) >= WHOLE_LINE:
            places.append((now, now + len(line)))
            yield line
        now += len(line)
    whole = "".join(lines)
    for start in range(len(whole) - RUN + 1):
        if not any(start <= first and last <= start + RUN for first, last in places):
            yield whole[start : start + RUN]


def stops_of(text: str) -> str:
    """What follows each line: a comma, or a stop."""
    return "".join("。" if stop in "。？！" else "，" for stop in re.findall(r"[，。？！；、]", text))


def ends(form: Form, characters: str) -> list[str]:
    """The last character of each line."""
    found, at = [], 0
    for length in form.lines:
        at += length
        found.append(characters[at - 1])
    return found


def read_poem(text: str, forms: Iterable[Form], rhymes: Rhymes) -> Poem | None:
    """None for a poem of no known form, or with signs that are no characters."""
    lines = lines_of(text)
    widths = tuple(map(len, lines))
    form = next((form for form in forms if form.lines == widths), None)
    characters = "".join(lines)
    if form is None or not characters.isalpha() or characters.isascii():
        return None
    last = ends(form, characters)
    groups = rhymes.rhyme(last[i] for i in form.rhymes[0]) if form.rhymes else frozenset()
    group = min(groups, key=list(rhymes.groups).index) if groups else None
    first = form.first_may_rhyme and group is not None and group in rhymes.groups_of.get(last[0], ())
    return Poem(form, characters, group, first)
