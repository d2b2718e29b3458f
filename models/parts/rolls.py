"""Music as a grid: bars of sixteen steps, in each of which every voice begins a note, holds one or is silent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung, in_order, names_of, notes_of, voices_of
from models.data.items import Scores
from models.parts.keys import KEYS, above_c, key_of

STEPS, STEP = 16, TICKS // 4  # of a bar of four quarters, and ticks of each
REST, HOLD, FIRST = 0, 1, 2  # tokens; from the third on a note begins
LOWEST, HIGHEST = 30, 90  # pitches that have a token
TOKENS = FIRST + HIGHEST - LOWEST + 1
BAR = STEPS * STEP
RARE = 5e-4  # of a voice's notes are below its range, and as many above
Roll = npt.NDArray[np.int64]  # (bars, STEPS, voices)


def tonic_of(lines: Iterable[Sequence[Sung]]) -> int:
    """By how many semitones the music lies above C or A minor, from -6 to 5."""
    return above_c(key_of(note for line in lines for note in line))


def roll_of(lines: Sequence[Sequence[Sung]], pickup: int, down: int, voices: int) -> Roll:
    """The bars from the first bar line on, `down` semitones lower; notes begin at the nearest step."""
    end = max((line[-1].end for line in lines if line), default=0) - pickup
    bars = max(1, -(-end // BAR))
    made = np.full((bars * STEPS, voices), REST, np.int64)
    for voice, line in enumerate(lines[:voices]):
        for note in line:
            if note.pitch == SILENCE:
                continue
            first, last = ((at - pickup + STEP // 2) // STEP for at in (note.start, note.end))
            if last <= 0:
                continue
            made[max(0, first) : last, voice] = HOLD
            made[max(0, first), voice] = FIRST + int(np.clip(note.pitch - down, LOWEST, HIGHEST)) - LOWEST
    return made.reshape(bars, STEPS, voices)


def score_of(roll: Roll, up: int, tempo: float, parts: Sequence[str]) -> Score:
    """`up` semitones higher. What is held where nothing sounds is silence."""
    steps = roll.reshape(-1, roll.shape[-1])
    sung: list[Sung] = []
    for voice in range(steps.shape[1]):
        sounding: Sung | None = None
        for step, token in enumerate(steps[:, voice].tolist()):
            if token == HOLD and sounding is not None:
                sounding = sounding._replace(duration=sounding.duration + STEP)
                continue
            if sounding is not None:
                sung.append(sounding)
            pitch = int(np.clip(token - FIRST + LOWEST + up, 1, 127))
            sounding = Sung(step * STEP, voice, STEP, pitch) if token >= FIRST else None
        if sounding is not None:
            sung.append(sounding)
    return Score(notes_of(in_order([sung])), tempo, list(parts))


def within(ranges: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """(voices, TOKENS): which each voice may have."""
    pitches = np.arange(TOKENS) - FIRST + LOWEST
    return np.stack([(pitches < LOWEST) | (low <= pitches) & (pitches <= high) for low, high in ranges])


class Rolls:
    """Windows of so many bars of the pieces in four quarters that have the voices of most, each in C or A minor."""

    def __init__(self, data: Scores, bars: int, voices: int | None = None) -> None:
        read = {}
        for i in range(len(data.items)):
            score = data.score(i)
            if score.bar == 4:
                read[i] = (score, voices_of(score))
        counts = [len(lines) for i, (_, lines) in read.items() if data.items[i]["split"] == "train"]
        self.voices = voices or (max(set(counts), key=counts.count) if counts else 1)
        self.windows: list[Roll] = []
        self.splits: list[str] = []
        self.pieces: list[int] = []
        self.tempo = float(np.median([score.tempo for score, _ in read.values()])) if read else 120.0
        for i, (score, lines) in read.items():
            if len(lines) == self.voices:
                whole = roll_of(lines, round(TICKS * score.pickup), tonic_of(lines), self.voices)
                for start in range(max(1, len(whole) - bars + 1)):
                    self.windows.append(filled(whole[start : start + bars], bars))
                    self.splits.append(data.items[i]["split"])
                    self.pieces.append(i)

    @property
    def parts(self) -> list[str]:
        """What the voices are called."""
        return names_of(self.voices)

    @property
    def said(self) -> dict[str, Any]:
        """What a card says of them: the form offers the keys to choose from."""
        return {"voices": self.parts, "keys": KEYS, "tempo": round(self.tempo)}

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """(lowest, highest) pitch of each voice in training, in C or A minor, but for one note in a thousand."""
        sung = np.concatenate([self.windows[i] for i in self.indices("train")]).reshape(-1, self.voices)
        notes = [line[line >= FIRST] - FIRST + LOWEST for line in sung.T]
        ends = [np.quantile(line, (RARE, 1 - RARE)) if len(line) else (LOWEST, HIGHEST) for line in notes]
        return [(math.floor(low), math.ceil(high)) for low, high in ends]

    def indices(self, *splits: str) -> npt.NDArray[np.int64]:
        return np.array([i for i, found in enumerate(self.splits) if found in splits], dtype=np.int64)


def filled(roll: Roll, bars: int) -> Roll:
    """With silence at its end, or cut, to so many bars."""
    made = np.full((bars, *roll.shape[1:]), REST, np.int64)
    made[: len(roll)] = roll[:bars]
    return made


def given_roll(score: Score, bars: int, voices: int) -> tuple[Roll, int, bool]:
    """(the first bars of a piece, by how many semitones it lies above C or A minor, whether it has more). Its highest
    parts are read; where the bar is no four quarters, four quarters are one.
    """
    lines = voices_of(score)
    mean = [np.mean([note.pitch for note in line if note.pitch != SILENCE] or [0]) for line in lines]
    order = sorted(range(len(lines)), key=lambda i: -mean[i])[:voices]
    chosen = [[note._replace(voice=voice) for note in lines[i]] for voice, i in enumerate(sorted(order))]
    tonic = tonic_of(lines)
    roll = roll_of(chosen, round(TICKS * score.pickup) if score.bar == 4 else 0, tonic, voices)
    return filled(roll, bars), tonic, len(roll) > bars
