"""Which key music is in. Torch-free."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from models.contract.sampling import Unfit
from models.contract.voices import SILENCE, Sung

TONICS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
KEYS = [*(f"{tonic} major" for tonic in TONICS), *(f"{tonic} minor" for tonic in TONICS)]
# How well each step above the tonic was found to fit (Krumhansl & Kessler, 1982).
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
MINOR_THIRD, MAJOR_THIRD, FIFTH = 3, 4, 7  # semitones
LAST = 0.25  # of correlation: how much more likely the key is whose tonic the lowest voice ends on


def key_of(sung: Iterable[Sung]) -> int:
    """Index into KEYS; of silence the first."""
    heard = [note for note in sung if note.pitch != SILENCE]
    weights = np.zeros(12)
    for note in heard:
        weights[note.pitch % 12] += note.duration
    last = max(heard, key=lambda note: (note.end, note.voice), default=None)
    with np.errstate(invalid="ignore"):  # what has all twelve alike is in no key
        profiles = [np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(len(TONICS))]
        fits = [np.corrcoef(weights, profile)[0, 1] for profile in profiles]
    if last is not None:
        for key in (last.pitch % 12, 12 + last.pitch % 12):
            fits[key] += LAST
    return int(np.nanargmax(np.nan_to_num(fits, nan=-1.0)))


def key_named(name: str | None) -> int | None:
    """Index into KEYS. Raises Unfit for what is none of them."""
    if name is None:
        return None
    if name not in KEYS:
        raise Unfit("{key} is not a key that the model knows", key=name)
    return KEYS.index(name)


def is_minor(key: int) -> bool:
    return key >= len(TONICS)


def above_c(key: int) -> int:
    """By how many semitones a key lies above C major or A minor, from -6 to 5."""
    return (key - (9 if is_minor(key) else 0) + 6) % len(TONICS) - 6


def is_chord_of(key: int, upper: Collection[int], lowest: int | None) -> bool:
    """Whether pitches are of the chord on the tonic of a key, its root in the lowest voice, where that is known.

    In minor the third may be major, as in a last chord it often is.
    """
    steps = {(pitch - key) % len(TONICS) for pitch in upper}
    thirds = {MINOR_THIRD, MAJOR_THIRD} if is_minor(key) else {MAJOR_THIRD}
    if SILENCE in upper or (lowest is not None and (lowest == SILENCE or (lowest - key) % len(TONICS) != 0)):
        return False
    return steps <= {0, FIFTH, *thirds} and not steps >= {MINOR_THIRD, MAJOR_THIRD}


def transposed(key: int, semitones: int) -> int:
    return key // 12 * 12 + (key + semitones) % 12
