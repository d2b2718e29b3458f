"""What can be counted of music in voices: how like a corpus it is, faults of voice leading, what it copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import Any

from models.contract.sampling import Output, Request
from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung, in_order, voices_of
from models.parts.keys import TONICS, key_of

Voices = list[list[Sung]]
TOGETHER = 8  # requests
PERFECT = {0, 7}  # semitones within an octave: octaves and fifths


def histograms(pieces: Iterable[Voices]) -> dict[str, Counter[Hashable]]:
    """Of pitch classes above the tonic, durations in ticks, and intervals of each voice in semitones."""
    found: dict[str, Counter[Hashable]] = {name: Counter() for name in ("pitch_class", "duration", "interval")}
    for voices in pieces:
        tonic = key_of(note for line in voices for note in line) % len(TONICS)
        for line in voices:
            sung = [note for note in line if note.pitch != SILENCE]
            found["pitch_class"].update((note.pitch - tonic) % 12 for note in sung)
            found["duration"].update(note.duration for note in sung)
            found["interval"].update(max(-12, min(12, b.pitch - a.pitch)) for a, b in pairwise(sung))
    return found


def overlap(ours: Counter[Hashable], theirs: Counter[Hashable]) -> float:
    """Of two histograms, as shares: 1 where they are the same, 0 where they have nothing in common."""
    a, b = max(1, ours.total()), max(1, theirs.total())
    return sum(min(ours[key] / a, theirs[key] / b) for key in ours.keys() | theirs.keys())


def parallels(voices: Voices) -> int:
    """Pairs of voices that move in one direction from one octave or fifth to another of its kind, without a silence
    between.
    """
    found = 0
    for a, b in combinations(voices, 2):
        for before, after in pairwise(together(a, b)):
            found += SILENCE not in (*before, *after) and is_parallel(before, after)
    return found


def is_parallel(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether two voices, the upper one first, move in the same direction from a fifth or octave to another."""
    apart = (after[0] - after[1]) % 12
    return (
        before[0] != after[0]
        and before[1] != after[1]
        and apart == (before[0] - before[1]) % 12
        and apart in PERFECT
        and (after[0] > before[0]) == (after[1] > before[1])
    )


def together(a: Sequence[Sung], b: Sequence[Sung]) -> list[tuple[int, int]]:
    """The pitches that two voices sing at once, at each change of either."""
    made, at = [], 0
    for note in a:
        while at < len(b) and b[at].end <= note.start:
            at += 1
        i = at
        while i < len(b) and b[i].start < note.end:
            made.append((note.pitch, b[i].pitch))
            i += 1
    return made


def beats(voices: Voices) -> float:
    return max((line[-1].end for line in voices if line), default=0) / TICKS


def steps_of(voices: Voices) -> list[tuple[int, int, int]]:
    """A piece in whatever key: what each note adds to the one before it, in the order of writing."""
    order = [note for note in in_order(voices) if note.pitch != SILENCE]
    return [(b.pitch - a.pitch, b.start - a.start, b.duration) for a, b in pairwise(order)]


class Runs:
    """All runs of a corpus, by which copies are found."""

    def __init__(self, pieces: Iterable[Voices], least: int = 8) -> None:
        self.least = least
        self.pieces = [steps_of(voices) for voices in pieces]
        self.places: dict[Hashable, list[tuple[int, int]]] = {}
        for number, steps in enumerate(self.pieces):
            for i in range(len(steps) - least + 1):
                self.places.setdefault(tuple(steps[i : i + least]), []).append((number, i))

    def longest(self, voices: Voices) -> int:
        """Notes of the longest run of a piece that stands in the corpus too, in whatever key; 0 for less than
        `least`.
        """
        steps, best = steps_of(voices), 0
        for i in range(len(steps) - self.least + 1):
            for number, at in self.places.get(tuple(steps[i : i + self.least]), []):
                theirs, n = self.pieces[number], self.least
                while i + n < len(steps) and at + n < len(theirs) and steps[i + n] == theirs[at + n]:
                    n += 1
                best = max(best, n + 1)
        return best


def of_scores(scores: Iterable[Score]) -> list[Voices]:
    return [voices_of(score) for score in scores if score.notes]


def said_of(made: list[Voices], real: list[Voices], learnt: Runs) -> dict[str, Any]:
    """Overlaps of histograms with real pieces, parallel fifths and octaves in 100 beats, runs that are copied."""
    if not made or not real:
        return {}
    ours, theirs = histograms(made), histograms(real)
    runs = [learnt.longest(voices) for voices in made]
    return {
        **{f"{name}_overlap": round(overlap(ours[name], theirs[name]), 4) for name in ours},
        "parallels_per_100_beats": round(
            100 * sum(parallels(voices) for voices in made) / max(1.0, sum(beats(voices) for voices in made)), 2
        ),
        "longest_copied_run": {"median": float(median(runs)), "most": max(runs)},
    }


def answered(sample: Callable[[list[Request]], list[Output]], asked: list[Request]) -> list[Score]:
    """The pieces that requests get, a few at once."""
    batches = (asked[start : start + TOGETHER] for start in range(0, len(asked), TOGETHER))
    return [output.value for batch in batches for output in sample(batch) if isinstance(output.value, Score)]
