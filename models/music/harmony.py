"""Harmony: the chord under each beat, written before the notes as a line of its own, as in Peracha, "Improving
Polyphonic Music Models with Feature-Rich Encoding", 2019. Chords stand in C major or A minor wherever the piece lies;
one is a number as a pitch is, its root the pitch class, its kind the octave. Torch-free.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from models.contract.voices import SILENCE, TICKS, Sung

KINDS = [(0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 7, 10), (0, 3, 7, 10), (0, 3, 6, 10), (0, 4, 7, 11), (0, 3, 6, 9)]
TRIADS = 2  # major and minor come first
LONGEST = 4 * TICKS
STRANGE, BASS, SEVENTH = 0.7, 0.4, 1.0  # what a strange note takes away, a root in the bass adds, a fourth note takes
OCTAVE = 12
TONES = np.array(
    [[(note - root) % OCTAVE in kind for note in range(OCTAVE)] for kind in KINDS for root in range(OCTAVE)]
)
LARGE = np.array([len(kind) > 3 for kind in KINDS for _ in range(OCTAVE)])


def chords_of(voices: Sequence[Sequence[Sung]], up: int, pickup: int, ends: Collection[int]) -> list[Sung]:
    """The line of chords, of voices from the highest, all as long, that lie `up` semitones above C major or A minor. A
    chord lasts whole beats, four at most, and goes over none of the `ends` of phrases.
    """
    first, end = pickup % TICKS, voices[-1][-1].end
    starts = [*([0] if first else []), *range(first, end, TICKS)]
    sung, lowest = heard(voices, starts, up), heard(voices[-1:], starts, up)
    fits = sung @ (TONES * (1 + STRANGE)).T - STRANGE * sung.sum(1, keepdims=True)
    fits = fits + TICKS * (BASS * (np.tile(lowest, (1, len(KINDS))) > 0) - SEVENTH * LARGE)
    chords = np.where(sung.any(1), OCTAVE + fits.argmax(1), SILENCE).tolist()
    made = list[Sung]()
    for start, after, chord in zip(starts, [*starts[1:], end], chords, strict=True):
        last = made[-1] if made else None
        if last and last.pitch == chord and start not in ends and after - last.start <= LONGEST:
            made[-1] = last._replace(duration=after - last.start)
        else:
            made.append(Sung(start, len(voices), after - start, chord))
    return made


def heard(voices: Sequence[Sequence[Sung]], starts: Sequence[int], up: int) -> npt.NDArray[np.float64]:
    """(beats, 12): for how many ticks of each beat each pitch class is sung."""
    found = np.zeros((len(starts), OCTAVE))
    for line in voices:
        for note in line:
            if note.pitch == SILENCE:
                continue
            at = int(np.searchsorted(starts, note.start, "right")) - 1
            while at < len(starts) and starts[at] < note.end:
                after = starts[at + 1] if at + 1 < len(starts) else note.end
                found[at, (note.pitch - up) % OCTAVE] += min(after, note.end) - max(starts[at], note.start)
                at += 1
    return found


def is_tonic(chord: int, is_minor: bool) -> bool:
    """Whether it is the chord that a piece closes on: a triad, in minor of either kind."""
    kind, root = divmod(chord - OCTAVE, OCTAVE)
    return root == (9 if is_minor else 0) and 0 <= kind < (TRIADS if is_minor else 1)
