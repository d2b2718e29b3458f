"""A score as players show it and play it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from app.media.midi import PROGRAMS
from models.contract.values import Score

MOST = 20_000  # notes


@dataclass(frozen=True)
class Listening:
    """`notes` are [start, duration, pitch, part] each, by start, in quarters; `programs` are what parts are played by
    in General MIDI; `tempo` in quarters a minute; the first bar line stands after `pickup`, the next `bar` later.
    `is_cut`: there are more notes.
    """

    notes: list[tuple[float, float, int, int]]
    parts: list[str]
    programs: list[int]
    tempo: float
    bar: float
    pickup: float
    is_cut: bool = field(default=False)

    @property
    def data(self) -> dict[str, Any]:
        return asdict(self)


def listening(score: Score) -> Listening:
    parts = [name or str(1 + i) for i, name in enumerate(score.parts)]
    return Listening(
        notes=[(round(n.start, 4), round(n.duration, 4), n.pitch, n.part) for n in score.notes[:MOST]],
        parts=parts,
        programs=[PROGRAMS.get(name.lower(), 0) for name in parts],
        tempo=round(score.tempo, 2),
        bar=score.bar,
        pickup=score.pickup,
        is_cut=len(score.notes) > MOST,
    )
