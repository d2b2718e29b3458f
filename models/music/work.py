"""A piece that is being written: its bars, what is given of it, and what was chosen so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from models.contract.composing import (
    CONTINUATION,
    GENERATION,
    HARMONIZATION,
    MELODY,
    OPENING,
    SCORE,
    ComposingParams,
    playable,
)
from models.contract.message import Message
from models.contract.sampling import Request, Unfit
from models.contract.values import Score
from models.contract.voices import SILENCE, TICKS, Sung, notes_of, voices_of
from models.measure.music import is_parallel
from models.music.harmony import is_tonic
from models.music.known import Frame, Known, named, numbers_of
from models.music.network import PITCHES
from models.music.phrases import Plan, phrases_of, planned, told
from models.music.spec import ContinuationParams, GenerationParams, InpaintingParams
from models.parts.keys import above_c, is_chord_of, is_minor, key_named, key_of

MOST_GIVEN, LONGEST = 4000, 1000  # notes of what is given, and beats of the whole
OCTAVE = 12


@dataclass
class Work:
    """`given` are notes by voice and start, `sung` what is written. The network has read `read`: once the piece is done
    that goes on with its last note, beside others; `slots` and `starts` are of each of these and of the next.

    The network knows C major and A minor only; the key of the piece lies `up` semitones above. `closing` is the key, an
    index of KEYS, that it has to end in.
    """

    params: ComposingParams
    seed: int
    known: Known
    frame: Frame
    up: int
    conditions: list[int]
    metre: tuple[int, int]
    tempo: float
    given: dict[tuple[int, int], Sung] = field(default_factory=dict)
    title: str = ""
    phrase_ends: list[float] = field(default_factory=list)
    remark: Message | None = None
    closing: int | None = None
    sung: list[Sung] = field(default_factory=list)
    read: list[Sung] = field(default_factory=list)
    slots: list[list[int]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        lines = self.known.lines
        self.ends, self.sounding = [0] * lines, [SILENCE] * lines
        self.begun, self.before = [0] * lines, [SILENCE] * lines  # of what each sings since when, and what before
        self.go_on()

    @property
    def is_done(self) -> bool:
        return min(self.ends) >= self.frame.end

    @property
    def voice(self) -> int:
        """Who goes on: the one that ends first."""
        return min(self.known.order or range(len(self.ends)), key=self.ends.__getitem__)

    @property
    def start(self) -> int:
        return min(self.ends)

    @property
    def forced(self) -> Sung | None:
        """The next note, where it is given."""
        return self.given.get((self.voice, self.start))

    @cached_property
    def begins(self) -> list[np.ndarray[Any, Any]]:
        """Where each voice has notes that are given."""
        found: list[list[int]] = [[] for _ in self.ends]
        for voice, start in self.given:
            found[voice].append(start)
        return [np.sort(np.array(starts, np.int64)) for starts in found]

    @property
    def room(self) -> int:
        """How long the next note may be: until the next that is given, or the end."""
        begins = self.begins[self.voice]
        after = int(np.searchsorted(begins, self.start, "right"))
        return (int(begins[after]) if after < len(begins) else self.frame.end) - self.start

    def go_on(self) -> None:
        """To the next note."""
        sounding = [self.lowered(pitch, line) for line, pitch in enumerate(self.sounding)]
        self.slots.append(self.frame.slot(self.start, self.voice, sounding))
        self.starts.append(self.start)

    def write(self, note: Sung) -> None:
        """The next note; of a piece that is done nothing but that the network reads on."""
        if not self.is_done:
            self.sung.append(note)
            self.before[note.voice], self.begun[note.voice] = self.sounding[note.voice], note.start
            self.ends[note.voice], self.sounding[note.voice] = note.end, note.pitch
        self.read.append(note)
        self.go_on()

    def lowered(self, pitch: int, line: int) -> int:
        """As the network knows it."""
        return shifted(pitch, 0 if self.known.is_chord(line) else -self.up)

    def raised(self, pitch: int) -> int:
        """What the network knows, for the line that goes on."""
        return shifted(pitch, 0 if self.known.is_chord(self.voice) else self.up)

    def able(self, free: bool) -> list[int]:
        """Pitches that the voice that goes on can sing, or chords; unless it is `free`, without the parallel fifths and
        octaves and the steps that the music avoids, and in the last beat those of the chord that it closes on.
        """
        if self.known.is_chord(self.voice):
            pitches = near = self.known.chords
        else:
            low, high = self.known.ranges[self.voice]
            barred = self.parallel() if self.known.strict and not free else set[int]()
            pitches = [pitch for pitch in range(low, high + 1) if pitch not in barred]
            near = pitches if free else self.usual(pitches)
        if self.room <= TICKS and not free:
            for able in (near, pitches if self.closing is not None else []):
                if closing := [pitch for pitch in able if self.may_close(pitch)]:
                    return closing
        return [SILENCE, *near]

    def usual(self, pitches: list[int]) -> list[int]:
        """Those that the voice that goes on reaches from what it sings by steps that it usually takes."""
        steps, voice = self.known.steps, self.voice
        now = self.sounding[voice]
        if not steps or now == SILENCE:
            return pitches
        return [pitch for pitch in pitches if pitch - now in steps[voice]]

    def may_close(self, pitch: int) -> bool:
        """Whether the voice that goes on may sing it to the end of the piece."""
        if self.closing is None or self.start + self.room < self.frame.end:
            return True
        if self.known.is_chord(self.voice):
            return is_tonic(pitch, is_minor(self.closing))
        last = len(self.known.voices) - 1
        ended = [
            sounding for sounding, end in zip(self.sounding[:last], self.ends, strict=False) if end == self.frame.end
        ]
        lowest = self.sounding[last] if self.ends[last] == self.frame.end else None
        if self.voice == last:
            return is_chord_of(self.closing, ended, pitch)
        return is_chord_of(self.closing, [*ended, pitch], lowest)

    def parallel(self) -> set[int]:
        """Pitches that would move in parallel fifths or octaves with another note that begins there."""
        voice, own = self.voice, self.sounding[self.voice]
        found = set[int]()
        for other, begun in enumerate(self.begun):
            was, now = self.before[other], self.sounding[other]
            if other == voice or self.known.is_chord(other) or begun != self.start or SILENCE in (own, was, now):
                continue
            low, high = self.known.ranges[voice]
            for pitch in range(low, high + 1):
                moves = ((own, was), (pitch, now)) if voice < other else ((was, own), (now, pitch))
                if is_parallel(*moves):
                    found.add(pitch)
        return found

    @property
    def most(self) -> int:
        """Notes that it may have at most."""
        return len(self.given) + len(self.ends) * (self.frame.end // min(self.known.durations) + 1)

    def score(self) -> Score:
        names = self.known.voices
        pickup = self.frame.pickup / TICKS
        notes = notes_of(note for note in self.sung if not self.known.is_chord(note.voice))
        return Score(notes, self.tempo, list(names), self.metre, pickup, self.title, self.phrase_ends)


def shifted(pitch: int, by: int) -> int:
    return pitch if pitch == SILENCE else min(max(pitch + by, 1), PITCHES - 1)


def work_of(request: Request, known: Known) -> Work:
    """Raises Unfit."""
    params = request.params
    if request.task == GENERATION:
        assert isinstance(params, GenerationParams)
        return from_nothing(params, request.seed, known)
    role = {CONTINUATION: OPENING, HARMONIZATION: MELODY}.get(request.task, SCORE)
    (score,) = request.inputs[role]
    assert isinstance(score, Score)
    if len(score.notes) > MOST_GIVEN:
        raise Unfit("It has {count} notes; the model reads at most {most}", count=len(score.notes), most=MOST_GIVEN)
    if request.task == HARMONIZATION:
        return harmonised(params, request.seed, known, score)
    if request.task == CONTINUATION:
        return continued(params, request.seed, known, score)
    return mended(params, request.seed, known, score)


def from_nothing(params: GenerationParams, seed: int, known: Known) -> Work:
    key = key_named(params.key)
    if key is None:
        keys = np.array(known.keys) / sum(known.keys)
        key = int(np.random.default_rng(seed).choice(len(keys), p=keys))
    metre = params.metre or usual_metre(known, params.kind)
    above, below = numbers_of(metre)
    bar = 4 * TICKS * above // below
    upbeat = usual_upbeat(known, metre, seed) if params.upbeat is None else params.upbeat
    pickup = 4 * TICKS // max(4, below) if upbeat else 0
    end = params.bars * bar
    like = Plan(metre, upbeat, is_minor(key), [], [])
    frame = Frame(bar, pickup, end, planned(known.plans, like, 0, end, seed))
    tempo = params.tempo or known.tempos.get(params.kind or "", known.tempos[""])
    conditions = known.conditions(key, metre, params.kind)
    work = Work(params, seed, known, frame, above_c(key), conditions, (above, below), tempo)
    work.closing = key if known.closes else None
    work.phrase_ends = [phrase.end / TICKS for phrase in frame.phrases]
    return work


def usual_metre(known: Known, kind: str | None) -> str:
    return known.usual.get(kind or "", known.metres[0])


def usual_upbeat(known: Known, metre: str, seed: int) -> bool:
    """As often as in the pieces of this metre whose phrases are known; never, where those of none are."""
    found = [plan.has_pickup for plan in known.plans if plan.metre == metre]
    return bool(found) and found[int(np.random.default_rng((seed, len(found))).integers(len(found)))]


def frame_of(score: Score, end: int, more: int = 0) -> Frame:
    """Of what is given until its end, and so many bars more. Raises Unfit."""
    frame = Frame.of(score, end)
    if frame.bar < TICKS // 2:
        raise Unfit("Its metre is impossible")
    if more:
        whole = (end - frame.pickup) // frame.bar
        frame.end = max(end, frame.pickup + (whole + more) * frame.bar)
    if frame.end > LONGEST * TICKS:
        raise Unfit("It has {count} beats; the model writes at most {most}", count=frame.end // TICKS, most=LONGEST)
    return frame


def work_from(
    params: ComposingParams, seed: int, known: Known, score: Score, voices: Sequence[list[Sung]], key: int, frame: Frame
) -> Work:
    """With these voices given."""
    given = {(note.voice, note.start): note for line in voices for note in line}
    tempo = params.tempo or playable(score.tempo)
    conditions = known.conditions(key, named(score.metre), None)
    up, ends = above_c(key), score.phrase_ends
    return Work(params, seed, known, frame, up, conditions, score.metre, tempo, given, score.title, ends)


def harmonised(params: ComposingParams, seed: int, known: Known, score: Score) -> Work:
    """The highest part is the melody; it is sung by the first voice, in its octave."""
    parts = voices_of(score)
    melody = max(parts, key=mean_pitch)
    moved, by = in_range([note._replace(voice=0) for note in melody], known.ranges[0])
    key, frame = key_of(moved), frame_of(score, melody[-1].end)
    frame.phrases = phrases_of(score.phrase_ends, [], above_c(key), frame.end)
    work = work_from(params, seed, known, score, [moved], key, frame)
    if len(parts) > 1:
        work.remark = Message("It has {count} parts; the highest was taken for the melody", count=len(parts))
    elif by:
        work.remark = Message("The melody was moved by {count} octaves, to where it can be sung", count=by // OCTAVE)
    return work


def mean_pitch(line: list[Sung]) -> float:
    sung = [(note.pitch, note.duration) for note in line if note.pitch != SILENCE]
    return sum(pitch * duration for pitch, duration in sung) / max(1, sum(duration for _, duration in sung))


def in_range(line: list[Sung], allowed: tuple[int, int]) -> tuple[list[Sung], int]:
    """(a voice moved by octaves so that as much as possible of it can be sung, by how many semitones)."""

    def outside(by: int) -> tuple[int, int]:
        low, high = allowed
        missed = sum(not low <= note.pitch + by <= high for note in line if note.pitch != SILENCE)
        return missed, abs(by)

    by = min(range(-4 * OCTAVE, 5 * OCTAVE, OCTAVE), key=outside)
    moved = [note if note.pitch == SILENCE else note._replace(pitch=note.pitch + by) for note in line]
    return moved, by


def continued(params: ContinuationParams, seed: int, known: Known, score: Score) -> Work:
    """The opening is given whole; voices that it lacks are written beside it too."""
    parts = sorted(voices_of(score), key=mean_pitch, reverse=True)
    voices = [[note._replace(voice=voice) for note in line] for voice, line in enumerate(parts[: len(known.voices)])]
    key, opening_end = key_of(note for line in voices for note in line), voices[0][-1].end
    frame = frame_of(score, opening_end, params.bars)
    count, most = len(parts), len(known.voices)
    lowest = voices[-1] if count >= most else []
    phrases = told(score.phrase_ends, lowest, above_c(key), opening_end)
    if phrases and phrases[0].end < opening_end:
        like = Plan(named(score.metre), frame.pickup > 0, is_minor(key), [], [])
        after = planned(known.plans, like, phrases[-1].end, frame.end, seed)
        frame.phrases = [*phrases, *(phrase for phrase in after if phrase.end > opening_end)]
    chords = known.harmony(voices, key, frame) if lowest else []
    work = work_from(params, seed, known, score, [*voices, chords], key, frame)
    new = [phrase.end / TICKS for phrase in frame.phrases if phrase.end > opening_end]
    work.phrase_ends = [*score.phrase_ends, *new]
    if count > most:
        work.remark = Message("It has {count} parts; the {most} highest were read", count=count, most=most)
    elif count < most:
        work.remark = Message("It has {count} parts; the others were written too", count=count)
    return work


def without(note: Sung, before: int) -> Sung:
    """What is left of a note from there on."""
    start = max(note.start, before)
    return note._replace(start=start, duration=note.end - start)


def mended(params: InpaintingParams, seed: int, known: Known, score: Score) -> Work:
    """All is given but what begins in some bars; of notes that go on behind them the rest is."""
    parts = voices_of(score)
    if len(parts) != len(known.voices):
        raise Unfit("It has {count} parts; this model writes {most}", count=len(parts), most=len(known.voices))
    key, frame = key_of(note for line in parts for note in line), frame_of(score, parts[0][-1].end)
    frame.phrases = phrases_of(score.phrase_ends, parts[-1], above_c(key), frame.end)
    first = frame.pickup + (params.first_bar - 1) * frame.bar
    last = frame.pickup + params.last_bar * frame.bar
    if first >= frame.end:
        raise Unfit("It has fewer than {count} bars", count=params.first_bar)
    kept = [
        [
            without(note, last) if first <= note.start else note
            for note in line
            if not first <= note.start < note.end <= last
        ]
        for line in [*parts, known.harmony(parts, key, frame)]
    ]
    return work_from(params, seed, known, score, kept, key, frame)
