"""What models make and are given: plain values, which know no file format. Torch-free; numpy is only named.

`medium` is what `app.media` and datasets call such works.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

if TYPE_CHECKING:  # the web process declares models, it does not compute
    import numpy as np
    import numpy.typing as npt

PICTURES, FILMS, MUSIC, TEXTS = "pictures", "films", "music", "texts"


class Value(Protocol):
    """Anything that says which medium it is of."""

    @property
    def medium(self) -> str: ...


Pixels: TypeAlias = "npt.NDArray[np.uint8]"  # (H, W, 3)


@dataclass(frozen=True, eq=False)
class Picture:
    """`pixels` (H, W, 3) uint8; as an input of any size, transparency on white."""

    medium: ClassVar[str] = PICTURES

    pixels: Pixels


@dataclass(frozen=True)
class Note:
    """`start` and `duration` in beats, `pitch` as in MIDI: 60 is middle C. `part` is an index of the score's parts."""

    start: float
    duration: float
    pitch: int
    part: int
    velocity: int = 80


def bar_of(metre: tuple[int, int]) -> float:
    """In quarters."""
    return 4 * metre[0] / metre[1]


@dataclass(frozen=True)
class Score:
    """`notes` by start, then from the top; `tempo` in beats a minute; `parts` are names of voices or instruments.

    A beat is a quarter. `metre` is written above and below in a time signature; the first bar line stands after
    `pickup` beats. `title` is what the file calls the piece. `phrase_ends` are beats, as fermatas or double
    bars tell them; none where nothing is known of phrases.
    """

    medium: ClassVar[str] = MUSIC

    notes: list[Note]
    tempo: float = 120.0
    parts: list[str] = field(default_factory=list)
    metre: tuple[int, int] = (4, 4)
    pickup: float = 0.0
    title: str = ""
    phrase_ends: list[float] = field(default_factory=list)

    @property
    def bar(self) -> float:
        """Beats from bar line to bar line."""
        return bar_of(self.metre)


@dataclass(frozen=True)
class Text:
    """Lines end in \\n."""

    medium: ClassVar[str] = TEXTS

    text: str
