"""Music as voices that sing one note at a time, on a grid of a 24th of a beat. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from models.contract.values import Note, Score

TICKS = 24  # a beat
SILENCE = 0  # as a pitch
STEPS = sorted({step for step in range(TICKS + 1) if step % 3 == 0 or step % 4 == 0})  # of a beat that notes begin at


NAMES = {1: ["Melody"], 4: ["Soprano", "Alto", "Tenor", "Bass"]}


def names_of(voices: int) -> list[str]:
    """What so many voices are usually called."""
    return NAMES.get(voices, [f"Voice {i + 1}" for i in range(voices)])


class Sung(NamedTuple):
    """One note of a voice, or its silence; they are ordered by start, then by voice."""

    start: int  # ticks
    voice: int
    duration: int
    pitch: int

    @property
    def end(self) -> int:
        return self.start + self.duration


def ticks(beats: float) -> int:
    """The nearest place where a note may begin: at 32nds, and at thirds of an eighth."""
    whole = int(beats // 1)
    return TICKS * whole + min(STEPS, key=lambda step: abs(step - TICKS * (beats - whole)))


def voices_of(score: Score) -> list[list[Sung]]:
    """Of each part its voice, without gaps from the beginning to the end of the piece: of notes at once the highest is
    sung, and a note ends where the next begins.
    """
    parts = sorted({note.part for note in score.notes})
    end = max((ticks(note.start + note.duration) for note in score.notes), default=0)
    if not end:
        return []
    return [line(voice, [note for note in score.notes if note.part == part], end) for voice, part in enumerate(parts)]


def line(voice: int, notes: Iterable[Note], end: int) -> list[Sung]:
    """Notes in whatever order, as one voice."""
    highest: dict[int, Sung] = {}
    for note in notes:
        start = ticks(note.start)
        sung = Sung(start, voice, ticks(note.start + note.duration) - start, note.pitch)
        if sung.duration > 0 and sung.pitch > highest.get(start, sung).pitch - 1:
            highest[start] = sung
    starts = sorted(highest)
    if not starts:
        return without_gaps(voice, [], end)
    made = [
        highest[start]._replace(duration=min(highest[start].duration, after - start))
        for start, after in zip(starts, [*starts[1:], end], strict=True)
    ]
    return without_gaps(voice, made, end)


def without_gaps(voice: int, notes: Sequence[Sung], end: int) -> list[Sung]:
    """With silence between them, before and after."""
    made: list[Sung] = []
    now = 0
    for note in [*notes, Sung(end, voice, 0, SILENCE)]:
        if note.start > now:
            made.append(Sung(now, voice, note.start - now, SILENCE))
        if note.duration:
            made.append(note)
        now = max(now, note.end)
    return made


def in_order(voices: Iterable[Sequence[Sung]]) -> list[Sung]:
    return sorted(note for voice in voices for note in voice)


def notes_of(sung: Iterable[Sung]) -> list[Note]:
    """To be heard; by start, then from the top."""
    heard = [
        Note(note.start / TICKS, note.duration / TICKS, note.pitch, note.voice)
        for note in sung
        if note.pitch != SILENCE
    ]
    return sorted(heard, key=lambda note: (note.start, -note.pitch))
