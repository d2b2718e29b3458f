"""Pieces of a collection as numbers, and what a step of training sees of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from models.contract.values import Score
from models.contract.voices import SILENCE, Sung, voices_of
from models.data.items import Scores
from models.data.pictures import Indices, Unsuitable
from models.music.known import Frame, Known, learn, named
from models.music.network import BEAT, CLOSE, PHRASE, PITCHES, PLACE, SOUNDING, Batch
from models.music.phrases import phrases_of
from models.parts.keys import above_c, key_of, transposed

# How often something is said of a piece in training, so that it may be left out when one is asked for.
SAID = (0.9, 0.6, 0.9, 0.7)  # mode, height, metre, kind
PHRASES_SAID, CLOSES_SAID = 0.75, 0.75  # the second where the first are
NOTHING, VOICES, SPAN = 0.3, 0.6, 0.8  # what is given: nothing, some voices, all but a span of bars, an opening
LONGEST_SPAN = 8  # bars
Numbers = npt.NDArray[np.int64]


class Piece:
    """Notes in the order of writing, as columns: pitch, number of the duration, start, and a slot each."""

    def __init__(self, voices: list[list[Sung]], score: Score, kind: str, known: Known) -> None:
        self.kind, self.metre = kind, named(score.metre)
        self.key, end = key_of(note for line in voices for note in line), voices[-1][-1].end
        self.frame = Frame.of(score, end)
        self.frame.phrases = phrases_of(score.phrase_ends, voices[-1], above_c(self.key), end)
        lines = [*voices, known.harmony(voices, self.key, self.frame)]
        sung = sorted((note for line in lines for note in line), key=known.turn)
        self.start = np.array([note.start for note in sung], np.int64)
        self.voice = np.array([note.voice for note in sung], np.int64)
        self.pitch = np.array([note.pitch for note in sung], np.int64)
        self.duration = np.array([known.durations.index(note.duration) for note in sung], np.int64)
        sounding = [SILENCE] * known.lines
        slots = []
        for note in sung:
            slots.append(self.frame.slot(note.start, note.voice, sounding))
            sounding[note.voice] = note.pitch
        self.slots = np.array(slots, np.int64)


class Pieces:
    """Those of a collection that have the voices of most, and only durations that occur often enough."""

    def __init__(self, data: Scores, known: Known | None, longest: int) -> None:
        read = [(item, data.score(i)) for i, item in enumerate(data.items)]
        voices = [voices_of(score) for _, score in read]
        self.known = known or learn(read, voices)
        self.longest = longest
        self.pieces: dict[int, Piece] = {}
        for i, ((item, score), lines) in enumerate(zip(read, voices, strict=True)):
            if written := self.written(lines):
                self.pieces[i] = Piece(written, score, item.get("form", ""), self.known)
        self.splits = {i: read[i][0]["split"] for i in self.pieces}
        if not self.pieces:
            raise Unsuitable("the collection has no pieces in voices of a few durations")

    def written(self, lines: list[list[Sung]]) -> list[list[Sung]]:
        """Nothing of a piece that cannot be written."""
        parts = [[self.known.split(note) for note in line] for line in lines]
        if len(lines) != len(self.known.voices) or any(part is None for line in parts for part in line):
            return []
        return [[note for part in line if part for note in part] for line in parts]

    def indices(self, split: str) -> Indices:
        return np.array([i for i, found in self.splits.items() if found == split], dtype=np.int64)

    def lengths(self, indices: Indices) -> Numbers:
        return np.array([min(self.longest, len(self.pieces[int(i)].pitch)) for i in indices])

    def room(self, piece: Piece) -> tuple[int, int]:
        """By how many semitones at least and at most it may be moved, so that all voices can sing it."""
        down, up = -6, 6
        for voice, (low, high) in enumerate(self.known.ranges):
            own = piece.pitch[(piece.voice == voice) & (piece.pitch != SILENCE)]
            if len(own):
                down, up = max(down, low - int(own.min())), min(up, high - int(own.max()))
        return min(down, 0), max(up, 0)


def lowered(pitch: Numbers, by: int | Numbers) -> Numbers:
    """Pitches as the network reads and writes them, in C major or A minor: `by` semitones lower; silence stays."""
    return np.where(pitch == SILENCE, SILENCE, np.clip(pitch - by, 1, PITCHES - 1))


def lowering(known: Known, lines: Numbers, by: int) -> Numbers:
    """By how many semitones what each of these lines sings is lowered: chords are not."""
    return np.where(lines == len(known.voices), 0, by)


def given_of(piece: Piece, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which notes the encoder reads; the others are learnt."""
    count, lines, frame = len(piece.pitch), 1 + int(piece.voice.max()), piece.frame
    chance = random.random()
    if chance < NOTHING or (chance < VOICES and lines == 1):
        return np.zeros(count, np.bool_)
    if chance < VOICES:
        if random.random() < 0.6:
            return piece.voice == 0  # a melody to be harmonised
        chosen = random.random(lines) < 0.5
        chosen[random.integers(lines)] = False
        return np.asarray(chosen[piece.voice])
    bars = max(1, (frame.end - frame.pickup) // frame.bar)
    if chance < SPAN:
        first = int(random.integers(bars))
        last = first + int(random.integers(1, LONGEST_SPAN + 1))
        start, end = frame.pickup + first * frame.bar, frame.pickup + last * frame.bar
        return (piece.start < start) | (piece.start >= end)
    return np.asarray(piece.start < frame.pickup + int(random.integers(1, bars + 1)) * frame.bar)


def batch(pieces: Pieces, chosen: Indices, random: np.random.Generator, moved: bool = True) -> Batch:
    """Pieces at heights at random where they are `moved`, something of each given. A long one is cut at a bar line."""
    rows = []
    for i in chosen:
        piece = pieces.pieces[int(i)]
        low, high = pieces.room(piece)
        by = int(random.integers(low, high + 1)) if moved else 0
        key = transposed(piece.key, by)
        conditions = pieces.known.conditions(key, piece.metre, piece.kind) * (random.random(len(SAID)) < SAID)
        down = above_c(key) - by
        given, cut = given_of(piece, random), window(piece, pieces.longest, random)
        rows.append((int(i), down, conditions, given, cut, hidden_from(random)))
    longest = max(cut.stop - cut.start for *_, cut, _ in rows)
    shape = (len(rows), longest)
    made = {name: np.zeros(shape, np.int64) for name in ("pitch", "duration", "start")}
    slots = np.zeros((*shape, SOUNDING + pieces.known.lines), np.int64)
    given, real = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for row, (i, down, _, is_given, cut, hidden) in enumerate(rows):
        piece, count = pieces.pieces[i], cut.stop - cut.start
        made["pitch"][row, :count] = lowered(piece.pitch[cut], lowering(pieces.known, piece.voice[cut], down))
        made["duration"][row, :count] = piece.duration[cut]
        made["start"][row, :count] = piece.start[cut]
        own = piece.slots[cut].copy()
        own[:, SOUNDING:] = lowered(own[:, SOUNDING:], lowering(pieces.known, np.arange(pieces.known.lines), down))
        own[:, hidden:SOUNDING] = 0
        slots[row, :count] = own
        given[row, :count], real[row, :count] = is_given[cut], True
    return Batch(
        torch.from_numpy(made["pitch"]),
        torch.from_numpy(made["duration"]),
        slots=torch.from_numpy(slots),
        start=torch.from_numpy(made["start"]),
        conditions=torch.from_numpy(np.stack([conditions for _, _, conditions, *_ in rows])),
        given=torch.from_numpy(given),
        real=torch.from_numpy(real),
    )


def hidden_from(random: np.random.Generator) -> int:
    """The column of a slot from which on nothing is said of phrases."""
    ends, closes = random.random(2) < (PHRASES_SAID, CLOSES_SAID)
    return (SOUNDING if closes else CLOSE) if ends else PHRASE


def window(piece: Piece, longest: int, random: np.random.Generator) -> slice:
    """So many notes from a bar line on, of a piece that has more."""
    count = len(piece.pitch)
    if count <= longest:
        return slice(0, count)
    lines = np.flatnonzero((piece.slots[:, BEAT] == 0) & (piece.slots[:, PLACE] == 0) & (piece.voice == 0))
    able = lines[lines <= count - longest]
    first = int(able[random.integers(len(able))]) if len(able) else 0
    return slice(first, first + longest)
