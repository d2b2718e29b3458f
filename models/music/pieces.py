"""Pieces of a collection as numbers, and what a step of training sees of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung, in_order, names_of, ticks, voices_of
from models.data.items import Scores
from models.data.pictures import Indices, Unsuitable
from models.measure.music import beats, parallels
from models.music.network import (
    BEAT,
    BEATS,
    CLOSE,
    PHRASE,
    PHRASES,
    PITCHES,
    PLACE,
    PLACES,
    QUARTERS,
    SOUNDING,
    Batch,
)
from models.music.phrases import Phrase, Plan, ahead, phrases_of, plan_of
from models.parts.keys import KEYS, TONICS, above_c, is_chord_of, is_minor, key_of, transposed

KNOWN = "known.json"
PARALLELS = 0.01  # fifths and octaves a beat: music that has fewer avoids them
CLOSED = 0.9  # of the pieces: music of which more end on the chord of their key closes there
MOST_PLANS = 400
FEWEST = 4  # notes of a duration, or pieces of a metre or kind, that are enough to learn it
# How often something is said of a piece in training, so that it may be left out when one is asked for.
SAID = (0.9, 0.6, 0.9, 0.7)  # mode, height, metre, kind
PHRASES_SAID, CLOSES_SAID = 0.75, 0.75  # the second where the first are
NOTHING, VOICES, SPAN = 0.3, 0.6, 0.8  # what is given: nothing, some voices, all but a span of bars, an opening
LONGEST_SPAN = 8  # bars
Numbers = npt.NDArray[np.int64]


@dataclass
class Known:
    """What a collection teaches before a note is learnt: its voices with the pitches that they sing, the durations in
    ticks, the metres and kinds, how many pieces there are in each of KEYS. By kind, "" being any: the tempo in quarters
    a minute, and the usual metre. `strict`: hardly any two voices move in parallel fifths or octaves. `closes`: nearly
    all pieces end on the chord of their key, its root in the lowest voice. `plans`: of pieces that have them, the
    phrases.
    """

    voices: list[str]
    ranges: list[tuple[int, int]]
    durations: list[int]
    metres: list[str]
    kinds: list[str]
    keys: list[int]
    tempos: dict[str, float]
    usual: dict[str, str]
    strict: bool = False
    closes: bool = False
    plans: list[Plan] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> Known:
        known = cls(**json.loads(text))
        known.plans = [Plan(*plan) for plan in known.plans]
        return known

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def conditions(self, key: int, metre: str | None, kind: str | None) -> list[int]:
        """0 for what is not said or not known."""
        return [
            1 + is_minor(key),
            1 + above_c(key) + len(TONICS) // 2,
            1 + self.metres.index(metre) if metre in self.metres else 0,
            1 + self.kinds.index(kind) if kind in self.kinds else 0,
        ]

    def split(self, note: Sung) -> list[Sung] | None:
        """A note of a known duration as it is, a silence in parts of known ones; None for what cannot be written."""
        if note.duration in self.durations:
            return [note]
        if note.pitch != SILENCE:
            return None
        made, now = list[Sung](), note.start
        while now < note.end:
            fits = [duration for duration in self.durations if duration <= note.end - now]
            if not fits:
                return None
            made.append(note._replace(start=now, duration=max(fits)))
            now += max(fits)
        return made


def lowered(pitch: Numbers, by: int) -> Numbers:
    """Pitches as the network reads and writes them, in C major or A minor: `by` semitones lower; silence stays."""
    return np.where(pitch == SILENCE, SILENCE, np.clip(pitch - by, 1, PITCHES - 1))


def named(metre: tuple[int, int]) -> str:
    return f"{metre[0]}/{metre[1]}"


def numbers_of(metre: str) -> tuple[int, int]:
    above, _, below = metre.partition("/")
    return int(above), int(below)


@dataclass
class Frame:
    """The bars of a piece, in ticks: how long they are, where the first bar line stands, where the piece ends; and its
    phrases, none where nothing is known of them.
    """

    bar: int
    pickup: int
    end: int
    phrases: list[Phrase] = field(default_factory=list)

    @classmethod
    def of(cls, score: Score, end: int, phrases: Sequence[Phrase] = ()) -> Frame:
        return cls(round(TICKS * score.bar), ticks(score.pickup), end, list(phrases))

    def slot(self, start: int, voice: int, sounding: Sequence[int]) -> list[int]:
        """What is known of a note before it is written."""
        beat, place = divmod((start - self.pickup) % self.bar, TICKS)
        left = (self.end - start) // TICKS
        until, close = ahead(self.phrases, start)
        phrase = [min(-(-until // TICKS), PHRASES), close]
        return [voice, min(beat, BEATS - 1), min(place, PLACES - 1), min(left, QUARTERS - 1), *phrase, *sounding]


class Piece:
    """Notes in the order of writing, as columns: pitch, number of the duration, start, and a slot each."""

    def __init__(self, sung: list[Sung], score: Score, kind: str, durations: list[int]) -> None:
        self.kind, self.metre = kind, named(score.metre)
        self.key, end, last = key_of(sung), max(note.end for note in sung), max(note.voice for note in sung)
        lowest = [note for note in sung if note.voice == last]
        self.frame = Frame.of(score, end, phrases_of(score.phrase_ends, lowest, above_c(self.key), end))
        self.start = np.array([note.start for note in sung], np.int64)
        self.voice = np.array([note.voice for note in sung], np.int64)
        self.pitch = np.array([note.pitch for note in sung], np.int64)
        self.duration = np.array([durations.index(note.duration) for note in sung], np.int64)
        sounding = [SILENCE] * (1 + int(self.voice.max()))
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
            if (sung := self.written(lines)) is not None:
                self.pieces[i] = Piece(sung, score, item.get("form", ""), self.known.durations)
        self.splits = {i: read[i][0]["split"] for i in self.pieces}
        if not self.pieces:
            raise Unsuitable("the collection has no pieces in voices of a few durations")

    def written(self, lines: list[list[Sung]]) -> list[Sung] | None:
        if len(lines) != len(self.known.voices):
            return None
        parts = [self.known.split(note) for note in in_order(lines)]
        if not parts or any(part is None for part in parts):
            return None
        return sorted(note for part in parts if part for note in part)

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


def learn(read: Sequence[tuple[dict[str, object], Score]], voices: Sequence[list[list[Sung]]]) -> Known:
    """Of the training pieces that have as many voices as most."""
    train = [i for i, (item, _) in enumerate(read) if item["split"] == "train"]
    if not train:
        raise Unsuitable("the collection has nothing to learn from")
    (most, _), *_ = Counter(len(voices[i]) for i in train).most_common()
    chosen = [i for i in train if len(voices[i]) == most]
    heard = [note for i in chosen for line in voices[i] for note in line if note.pitch != SILENCE]
    ranges = []
    for voice in range(most):
        own = [note.pitch for note in heard if note.voice == voice]
        ranges.append((min(own), max(own)))
    durations = often(note.duration for note in heard)[:64]
    metres = often(named(read[i][1].metre) for i in chosen)[:8]
    kinds = [kind for kind in often(str(read[i][0].get("form", "")) for i in chosen) if kind][:16]
    tempos, usual = dict[str, float](), dict[str, str]()
    for name, of in (("", chosen), *((kind, [i for i in chosen if read[i][0].get("form") == kind]) for kind in kinds)):
        tempos[name] = float(np.median([read[i][1].tempo for i in of]))
        usual[name] = often(named(read[i][1].metre) for i in of)[0]
    names = next((score.parts for _, score in (read[i] for i in chosen) if len(score.parts) == most), [])
    names = names or names_of(most)
    count, length = (sum(of(voices[i]) for i in chosen) for of in (parallels, beats))
    strict = most > 1 and count < PARALLELS * length
    heard_in = {i: key_of(note for line in voices[i] for note in line) for i in chosen}
    closing = sum(closes(key, voices[i]) for i, key in heard_in.items())
    found = Counter(heard_in.values())
    keys = [found[key] for key in range(len(KEYS))]
    does_close = closing >= CLOSED * len(chosen)
    every = [plan for i, key in heard_in.items() if (plan := plan_in(read[i][1], voices[i], key))]
    plans = every[:: -(-len(every) // MOST_PLANS) or 1]
    return Known(list(names), ranges, sorted(durations), metres, kinds, keys, tempos, usual, strict, does_close, plans)


def plan_in(score: Score, voices: Sequence[list[Sung]], key: int) -> Plan | None:
    phrases = phrases_of(score.phrase_ends, voices[-1], above_c(key), voices[-1][-1].end)
    return plan_of(named(score.metre), score.pickup > 0, is_minor(key), phrases)


def closes(key: int, voices: Sequence[Sequence[Sung]]) -> bool:
    """Whether they end on the chord of the key."""
    *upper, lowest = (line[-1].pitch for line in voices)
    return is_chord_of(key, upper, lowest)


def often(values: Iterable[object]) -> list:  # type: ignore[type-arg]
    """Those that occur often enough, the most usual first; the most usual in any case."""
    found = Counter(values).most_common()
    return [value for i, (value, count) in enumerate(found) if count >= FEWEST or i == 0]


def given_of(piece: Piece, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which notes the encoder reads; the others are learnt."""
    count, voices, frame = len(piece.pitch), 1 + int(piece.voice.max()), piece.frame
    chance = random.random()
    if chance < NOTHING or (chance < VOICES and voices == 1):
        return np.zeros(count, np.bool_)
    if chance < VOICES:
        if random.random() < 0.6:
            return piece.voice == 0  # a melody to be harmonised
        chosen = random.random(voices) < 0.5
        chosen[random.integers(voices)] = False
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
    voices = len(pieces.known.voices)
    shape = (len(rows), longest)
    made = {name: np.zeros(shape, np.int64) for name in ("pitch", "duration", "start")}
    slots = np.zeros((*shape, SOUNDING + voices), np.int64)
    given, real = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for row, (i, down, _, is_given, cut, hidden) in enumerate(rows):
        piece, count = pieces.pieces[i], cut.stop - cut.start
        made["pitch"][row, :count] = lowered(piece.pitch[cut], down)
        made["duration"][row, :count] = piece.duration[cut]
        made["start"][row, :count] = piece.start[cut]
        own = piece.slots[cut].copy()
        own[:, SOUNDING:] = lowered(own[:, SOUNDING:], down)
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
