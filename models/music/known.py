"""What a collection of music teaches before a note is learnt, and the bars and phrases that notes stand in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np

from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung, names_of, ticks
from models.data.pictures import Unsuitable
from models.measure.music import beats, parallels
from models.music.harmony import chords_of
from models.music.network import BEATS, PHRASES, PLACES, QUARTERS
from models.music.phrases import Phrase, Plan, ahead, is_sound, phrases_of, plan_of
from models.parts.keys import KEYS, TONICS, above_c, is_chord_of, is_minor, key_of

KNOWN = "known.json"
PARALLELS = 0.01  # fifths and octaves a beat: music that has fewer avoids them
HARMONIC = 3  # voices: music of fewer has no chords
CLOSED = 0.85  # of the pieces: music of which more end on the chord of their key closes there
RARE = 0.0005  # of the steps of a voice
MOST_PLANS = 400
FEWEST = 4  # notes of a duration, or pieces of a metre or kind, that are enough to learn it
Read = tuple[dict[str, object], Score]  # an item and its score


@dataclass
class Known:
    """What a collection teaches before a note is learnt: its voices with the pitches that they sing, the durations in
    ticks, the metres and kinds, how many pieces there are in each of KEYS. By kind, "" being any: the tempo in quarters
    a minute, and the usual metre. `strict`: hardly any two voices move in parallel fifths or octaves. `closes`: nearly
    all pieces end on the chord of their key, its root in the lowest voice. `plans`: of pieces that have them, the
    phrases. `chords`: those that are written before the notes, none for music of one or two voices (see `harmony`).
    `steps`: in semitones, of each voice all but those that it hardly ever takes. `order`: of lines that go on at once
    the one that is written first, and so on.
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
    chords: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    steps: list[list[int]] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> Known:
        known = cls(**json.loads(text))
        known.plans = [plan for plan in (Plan(*plan) for plan in known.plans) if is_sound(plan)]
        return known

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @property
    def lines(self) -> int:
        """Voices, and that of the chords, which comes last."""
        return len(self.voices) + bool(self.chords)

    def is_chord(self, line: int) -> bool:
        return line == len(self.voices)

    def harmony(self, voices: Sequence[Sequence[Sung]], key: int, frame: Frame) -> list[Sung]:
        """The line of chords under all the voices; see `chords_of`. Of one that it does not know it knows nothing."""
        if not self.chords:
            return []
        ends = {phrase.end for phrase in frame.phrases}
        line = chords_of(voices, above_c(key), frame.pickup, ends)
        known = [note if note.pitch in self.chords else note._replace(pitch=SILENCE) for note in line]
        return [part for note in known for part in self.split(note) or []]

    def turn(self, note: Sung) -> tuple[int, int]:
        """By which notes are written one after another."""
        return note.start, self.order.index(note.voice) if self.order else note.voice

    def conditions(self, key: int, metre: str | None, kind: str | None) -> list[int]:
        """0 for what is not said or not known."""
        return [
            1 + is_minor(key),
            1 + above_c(key) + len(TONICS) // 2,
            1 + self.metres.index(metre) if metre in self.metres else 0,
            1 + self.kinds.index(kind) if kind in self.kinds else 0,
        ]

    def split(self, note: Sung) -> list[Sung] | None:
        """A note of a known duration as it is, a silence or a chord in parts of known ones; None for what cannot be
        written.
        """
        if note.duration in self.durations:
            return [note]
        if note.pitch != SILENCE and not self.is_chord(note.voice):
            return None
        made, now = list[Sung](), note.start
        while now < note.end:
            fits = [duration for duration in self.durations if duration <= note.end - now]
            if not fits:
                return None
            made.append(note._replace(start=now, duration=max(fits)))
            now += max(fits)
        return made


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
    def of(cls, score: Score, end: int) -> Frame:
        return cls(round(TICKS * score.bar), ticks(score.pickup), end)

    def slot(self, start: int, voice: int, sounding: Sequence[int]) -> list[int]:
        """What is known of a note before it is written."""
        beat, place = divmod((start - self.pickup) % self.bar, TICKS)
        left = (self.end - start) // TICKS
        until, close = ahead(self.phrases, start)
        phrase = [min(-(-until // TICKS), PHRASES), close]
        return [voice, min(beat, BEATS - 1), min(place, PLACES - 1), min(left, QUARTERS - 1), *phrase, *sounding]


def learn(read: Sequence[Read], voices: Sequence[list[list[Sung]]]) -> Known:
    """Of the training pieces that have as many voices as most."""
    train = [i for i, (item, _) in enumerate(read) if item["split"] == "train"]
    if not train:
        raise Unsuitable("the collection has nothing to learn from")
    (most, _), *_ = Counter(len(voices[i]) for i in train).most_common()
    if not most:
        raise Unsuitable("the collection has nothing to learn from")
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
    known = Known(list(names), ranges, sorted(durations), metres, kinds, keys, tempos, usual, strict, does_close, plans)
    known.steps = [usual_steps(voices[i][voice] for i in chosen) for voice in range(most)]
    if most >= HARMONIC:
        learn_harmony(known, read, {i: voices[i] for i in chosen}, heard_in)
    return known


def usual_steps(lines: Iterable[list[Sung]]) -> list[int]:
    """Those of a voice, in semitones, that are not rare."""
    found = Counter[int]()
    for line in lines:
        heard = [note.pitch for note in line if note.pitch != SILENCE]
        found.update(after - before for before, after in pairwise(heard))
    return sorted(step for step, count in found.items() if count >= RARE * found.total())


def learn_harmony(
    known: Known,
    read: Sequence[Read],
    voices: dict[int, list[list[Sung]]],
    keys: dict[int, int],
) -> None:
    """The chords that occur, and the order of writing: the chord, then the outer voices, which it hangs between."""
    found = Counter[int]()
    for i, lines in voices.items():
        pickup = ticks(read[i][1].pickup)
        found.update(note.pitch for note in chords_of(lines, above_c(keys[i]), pickup, ()))
    known.chords = sorted(chord for chord, count in found.items() if count >= FEWEST and chord != SILENCE)
    chord = [len(known.voices)] if known.chords else []
    known.order = [*chord, 0, *range(len(known.voices) - 1, 0, -1)]


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
