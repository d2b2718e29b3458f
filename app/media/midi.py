"""MIDI: read into notes, and written of what models make, with how that was done."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from fractions import Fraction
from operator import itemgetter
from typing import Any

import mido

from app.errors import Invalid
from app.media.medium import SAYS_NOTHING
from app.media.score import Piece, few, in_order
from models.contract.values import Note, Score, bar_of

MOST = 1 << 20  # each byte may become a message of half a kilobyte
DRUMS = 9  # channel
# What parts are played by, in General MIDI, by their names; all others by a piano.
PROGRAMS = {"soprano": 52, "alto": 52, "tenor": 52, "bass": 52, "choir": 52, "melody": 40, "violin": 40, "flute": 73}
CHANNELS = [channel for channel in range(16) if channel != DRUMS]
TICKS = 480  # a beat
SIGNATURE, PHRASE_END = "danqing:", "phrase end"  # the second is a marker


def read(content: bytes) -> Piece:
    if len(content) > MOST:
        raise Invalid("A MIDI file may have at most {mebibytes} MiB", mebibytes=MOST >> 20)
    file = mido.MidiFile(file=io.BytesIO(content), clip=True)
    if file.ticks_per_beat <= 0:
        raise Invalid("Its timing is in film frames, not in beats")
    notes = few(
        note for number, track in enumerate(file.tracks) for note in track_notes(track, number, file.ticks_per_beat)
    )
    metre, pickup = metre_of(file)
    names = {16 * number + channel: track.name for number, track in enumerate(file.tracks) for channel in range(16)}
    seconds = file.length if file.type < 2 else 0.0
    drums = any(m.type == "note_on" and m.channel == DRUMS for track in file.tracks for m in track)
    return Piece(in_order(notes), seconds, metre, pickup, names, phrase_ends=phrase_ends(file), has_drums=drums)


def phrase_ends(file: mido.MidiFile) -> list[float]:
    """Of the markers in the first track those that say so, in beats."""
    found, now = set[float](), 0
    for message in file.tracks[0] if file.tracks else []:
        now += message.time
        if message.type == "marker" and message.text == PHRASE_END:
            found.add(now / file.ticks_per_beat)
    return sorted(found)


def metre_of(file: mido.MidiFile) -> tuple[tuple[int, int], float]:
    """(the first metre that lasts, beats before its first bar line): of what is written as a first, shorter bar."""
    found: list[tuple[int, tuple[int, int]]] = []
    for track in file.tracks[:1]:
        now = 0
        for message in track:
            now += message.time
            if message.type == "time_signature":
                found.append((now, (message.numerator, message.denominator)))
    if not found:
        return (4, 4), 0.0
    (start, first), *rest = found
    length = bar_of(first)
    if rest and start == 0 and rest[0][0] == length * file.ticks_per_beat and length < bar_of(rest[0][1]):
        return rest[0][1], length
    return first, 0.0


def track_notes(track: mido.MidiTrack, number: int, ticks_per_beat: int) -> Iterator[Note]:
    """Pitched notes of a track; one that is never ended ends with the track."""
    now, sounding = 0, dict[tuple[int, int], int]()
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        key = (message.channel, message.note)
        if (since := sounding.pop(key, None)) is not None:
            yield Note(since / ticks_per_beat, (now - since) / ticks_per_beat, message.note, 16 * number + key[0])
        if message.type == "note_on" and message.velocity:
            sounding[key] = now
    for (channel, pitch), since in sounding.items():
        yield Note(since / ticks_per_beat, (now - since) / ticks_per_beat, pitch, 16 * number + channel)


def write(score: Score) -> bytes:
    """MIDI of type 1: a track that says tempo, metre and phrases, and one for each part."""
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(score.tempo))
    end = max((note.start + note.duration for note in score.notes), default=0.0)
    markers = [(beat, mido.MetaMessage("marker", text=PHRASE_END)) for beat in score.phrase_ends if beat <= end]
    said = sorted([(0.0, tempo), *metres(score), *markers], key=itemgetter(0))
    track, now = mido.MidiTrack(), 0
    for beat, message in said:
        track.append(message.copy(time=round(beat * TICKS) - now))
        now = round(beat * TICKS)
    file.tracks.append(track)
    named = dict(enumerate(score.parts))
    for channel, part in zip(CHANNELS, sorted({note.part for note in score.notes}), strict=False):
        notes = [note for note in score.notes if note.part == part]
        file.tracks.append(track_of(notes, channel, named.get(part, "")))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def metres(score: Score) -> Iterator[tuple[float, mido.MetaMessage]]:
    """By beat; what comes before the first bar line is a bar of its own, as notation programs write it."""
    if score.pickup:
        short = Fraction(score.pickup / 4).limit_denominator(64)
        above = short.numerator * (64 // short.denominator) if 64 % short.denominator == 0 else 0
        if above:
            shrink = math.gcd(above, 16)
            yield 0.0, mido.MetaMessage("time_signature", numerator=above // shrink, denominator=64 // shrink)
            yield score.pickup, mido.MetaMessage("time_signature", numerator=score.metre[0], denominator=score.metre[1])
            return
    yield 0.0, mido.MetaMessage("time_signature", numerator=score.metre[0], denominator=score.metre[1])


def track_of(notes: list[Note], channel: int, name: str) -> mido.MidiTrack:
    program = mido.Message("program_change", channel=channel, program=PROGRAMS.get(name.lower(), 0))
    track, now = mido.MidiTrack([mido.MetaMessage("track_name", name=ascii_of(name)), program]), 0
    events = [(round(note.start * TICKS), 1, note.pitch, note.velocity) for note in notes]
    events += [(round((note.start + note.duration) * TICKS), 0, note.pitch, 0) for note in notes]
    for tick, on, pitch, velocity in sorted(events):  # at one time a note ends before the next begins
        message = "note_on" if on else "note_off"
        track.append(mido.Message(message, channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    return track


def ascii_of(name: str) -> str:
    return name.encode("ascii", "replace").decode()


def sign(content: bytes, provenance: dict[str, Any]) -> bytes:
    """A text event in the first track says how it was made."""
    file = mido.MidiFile(file=io.BytesIO(content))
    file.tracks[0].insert(0, mido.MetaMessage("text", text=SIGNATURE + json.dumps(provenance, ensure_ascii=True)))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def signed(content: bytes) -> dict[str, Any]:
    if not content.startswith(b"MThd") or len(content) > MOST:
        raise Invalid(SAYS_NOTHING)
    try:
        for message in mido.MidiFile(file=io.BytesIO(content), clip=True).tracks[0]:
            if message.type == "text" and message.text.startswith(SIGNATURE):
                said = json.loads(message.text.removeprefix(SIGNATURE))
                if isinstance(said, dict):
                    return said
    except Exception as error:  # parsers of foreign bytes raise whatever they like
        raise Invalid(SAYS_NOTHING) from error
    raise Invalid(SAYS_NOTHING)
