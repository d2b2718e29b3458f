"""Forms of Chinese verse: how many characters a line has, which lines rhyme, and how tones may alternate. Torch-free.

Regulated verse has four kinds of lines, of which every poem is made (Wang Li, "Poetics of Chinese Verse", 1958). In a
pattern `p` is a level tone (平), `z` an oblique one (仄), `.` either.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

LEVEL, OBLIQUE, EITHER = "p", "z", "."
STOPS = "，。"

# Lines of five characters: those that end obliquely do not rhyme.
A, B, C, D = ".zppz", "ppzzp", ".ppzz", ".zzpp"
# In front of them two characters of the other tone.
LONG = {A: ".p.zppz", B: ".zppzzp", C: ".z.ppzz", D: ".p.zzpp"}
COUPLETS = {A: B, C: D, D: B, B: D}  # what follows an opening line; D and B open one that rhymes twice
NEXT = {B: C, D: A}  # the line after one that rhymes: its second tone is that of the line before


@dataclass(frozen=True)
class Form:
    """`lines` are numbers of characters, `rhymes` sets of lines that rhyme with each other; the first line may join the
    first set where `first_may_rhyme`. `stops` is what follows each line.
    """

    name: str
    title: str
    lines: tuple[int, ...]
    rhymes: tuple[frozenset[int], ...]
    stops: str
    first_may_rhyme: bool = False
    patterns: tuple[tuple[str, ...], ...] = ()  # of tones, one a line; the first line tells whether it rhymes

    @property
    def length(self) -> int:
        return sum(self.lines)

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """(line, place in it) of every character."""
        return [(line, place) for line, length in enumerate(self.lines) for place in range(length)]

    def rhymed(self, first: bool) -> tuple[frozenset[int], ...]:
        """The sets of lines that rhyme, with or without the first."""
        return (self.rhymes[0] | {0}, *self.rhymes[1:]) if first else self.rhymes

    def written(self, characters: str) -> str:
        """So many characters as there are, in lines of two of the form's lines, or as its stops say."""
        made, at = "", 0
        for length, stop in zip(self.lines, self.stops, strict=True):
            part = characters[at : at + length]
            at += length
            if not part:
                break
            made += part
            if len(part) == length:
                made += stop if stop == "，" else f"{stop}\n"
        return made.rstrip("\n")


def patterns(lines: int, width: int) -> tuple[tuple[str, ...], ...]:
    """The four ways in which the tones of a regulated poem alternate."""
    found = []
    for opening in (A, C, D, B):
        made = [opening, COUPLETS[opening]]
        while len(made) < lines:
            made.append(NEXT[made[-1]])
            made.append(COUPLETS[made[-1]])
        found.append(tuple(LONG[line] if width == 7 else line for line in made))
    return tuple(found)


def regulated(name: str, title: str, lines: int, width: int) -> Form:
    rhymes = frozenset(range(1, lines, 2))
    return Form(name, title, (width,) * lines, (rhymes,), STOPS * (lines // 2), True, patterns(lines, width))


REGULATED = {
    form.name: form
    for form in (
        regulated("wujue", "五绝", 4, 5),
        regulated("qijue", "七绝", 4, 7),
        regulated("wulu", "五律", 8, 5),
        regulated("qilu", "七律", 8, 7),
    )
}
