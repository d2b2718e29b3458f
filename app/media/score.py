"""What is read out of a piece of music, whatever its notation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from app.errors import Invalid
from models.contract.values import Note

MOST_NOTES = 100_000
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}  # semitones above C


@dataclass(frozen=True)
class Piece:
    """As it was read: `notes` by start, then from the top; how long it takes in seconds; names of parts by their
    numbers. See `Score` for the rest.
    """

    notes: list[Note]
    seconds: float
    metre: tuple[int, int] = (4, 4)
    pickup: float = 0.0
    parts: dict[int, str] = field(default_factory=dict)
    title: str = ""
    phrase_ends: list[float] = field(default_factory=list)
    has_drums: bool = False  # which are left out


def few(notes: Iterator[Note]) -> list[Note]:
    """Raises Invalid for more notes than a piece may have."""
    found = list(islice(notes, MOST_NOTES + 1))
    if len(found) > MOST_NOTES:
        raise Invalid("It has more than {most} notes", most=MOST_NOTES)
    return found


def in_order(notes: list[Note]) -> list[Note]:
    return sorted(notes, key=lambda note: (note.start, -note.pitch))
