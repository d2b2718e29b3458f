"""Phrases: where they end, and which note of the key the lowest voice has there. A piece is given such a plan before
its notes, as Li et al., "Rigid Formats Controlled Text Generation", 2020, give verse its form: it breathes and closes,
and goes through keys as a whole. Torch-free.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np

from models.contract.voices import SILENCE, TICKS, Sung, ticks

SHORTEST, LONGEST = 3 * TICKS, 32 * TICKS  # less than the first belongs to the next phrase


class Phrase(NamedTuple):
    """`end` in ticks; `close` is the pitch class of the lowest voice there, in C major or A minor, None if unknown."""

    end: int
    close: int | None = None


class Plan(NamedTuple):
    """The phrases of one piece: how long each is, in ticks, and its close (see `Phrase`)."""

    metre: str
    has_pickup: bool
    is_minor: bool
    lengths: list[int]
    closes: list[int]


def told(ends: Iterable[float], lowest: Sequence[Sung], up: int, until: int) -> list[Phrase]:
    """Those that end `until` then, of a piece that lies `up` semitones above C major or A minor; `ends` in beats."""
    found, last = list[Phrase](), 0
    for end in sorted(map(ticks, ends)):
        if end <= until and end - last >= SHORTEST:
            found.append(Phrase(end, close_at(lowest, end, up)))
            last = end
    return found


def phrases_of(ends: Iterable[float], lowest: Sequence[Sung], up: int, end: int) -> list[Phrase]:
    """Of a whole piece, which ends with one; none where nothing is known of any (see `told`)."""
    found = [phrase for phrase in told(ends, lowest, up, end) if end - phrase.end >= SHORTEST]
    return [*found, Phrase(end, close_at(lowest, end, up))] if found else []


def close_at(lowest: Sequence[Sung], end: int, up: int) -> int | None:
    note = next((note for note in lowest if note.start < end <= note.end), None)
    return None if note is None or note.pitch == SILENCE else (note.pitch - up) % 12


def plan_of(metre: str, has_pickup: bool, is_minor: bool, phrases: Sequence[Phrase]) -> Plan | None:
    """None where a close is not known, or a phrase is longer than one sings."""
    closes = [phrase.close for phrase in phrases if phrase.close is not None]
    lengths: list[int] = np.diff([0, *(phrase.end for phrase in phrases)]).tolist()
    plan = Plan(metre, has_pickup, is_minor, lengths, closes)
    return plan if is_sound(plan) else None


def is_sound(plan: Plan) -> bool:
    """Checkpoints may come from anywhere."""
    lengths, closes = plan.lengths, plan.closes
    return 0 < len(lengths) == len(closes) and all(
        SHORTEST <= length <= LONGEST and 0 <= close < 12 for length, close in zip(lengths, closes, strict=True)
    )


def planned(plans: Sequence[Plan], like: Plan, start: int, end: int, seed: int) -> list[Phrase]:
    """Phrases from `start` to `end`, as they follow one another in one of the plans; one that is `like` what is wanted
    in mode, metre and upbeat, and that fits without a phrase cut, where there is one.
    """
    conditions: list[Callable[[Plan], bool]] = [
        lambda plan: plan.metre == like.metre,
        lambda plan: plan.is_minor == like.is_minor,
        lambda plan: phrases_before(plan, end - start)[0] == 0,
        lambda plan: plan.has_pickup == like.has_pickup,
    ]
    left = list(plans)
    for met in conditions:
        left = [plan for plan in left if met(plan)] or left
    if end <= start or not any(plan.metre == like.metre for plan in left):
        return []
    plan = left[int(np.random.default_rng((seed, len(plans))).integers(len(left)))]
    over, found = phrases_before(plan, end - start)
    lengths = [length for length, _ in found]
    lengths[0] -= over
    ends = (start + np.cumsum(lengths)).tolist()
    phrases = [Phrase(at, close) for at, (_, close) in zip(ends, found, strict=True)]
    return phrases[1:] if len(phrases) > 1 and lengths[0] < SHORTEST else phrases


def phrases_before(plan: Plan, length: int) -> tuple[int, list[tuple[int, int]]]:
    """(by how much they are longer, lengths and closes): as many phrases as it takes, counted back from the last."""
    found, total = list[tuple[int, int]](), 0
    for each in cycle(reversed(list(zip(plan.lengths, plan.closes, strict=True)))):
        found.insert(0, each)
        total += each[0]
        if total >= length:
            return total - length, found
    return 0, found


def ahead(phrases: Sequence[Phrase], start: int) -> tuple[int, int]:
    """(ticks until the phrase ends, 1 + its close), 0 for what is not known, of a note that starts there."""
    at = bisect_right([phrase.end for phrase in phrases], start)
    if at == len(phrases):
        return 0, 0
    end, close = phrases[at]
    return end - start, 0 if close is None else 1 + close
