"""Music: MIDI, MusicXML and ABC, read into notes to see that they can be played, and kept as they came."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import mido
from PIL import Image, ImageDraw

from app.errors import Conflict, Invalid, UnsupportedMedia
from app.media import abc
from app.media.medium import SAYS_NOTHING, Kept, Medium, Tables, Words, Work
from app.media.score import STEPS, Piece, few, in_order
from models.contract.message import Message
from models.contract.values import MUSIC, Note, Score, bar_of

MOST = 8 << 20
MOST_MIDI = 1 << 20  # each byte may become a message of half a kilobyte
LONGEST = 100_000.0  # beats
MIDI, MUSICXML, ABC = "audio/midi", "application/vnd.recordare.musicxml+xml", "text/vnd.abc"
SUFFIXES = {".mid": MIDI, ".midi": MIDI, ".musicxml": MUSICXML, ".xml": MUSICXML, ".mxl": MUSICXML, ".abc": ABC}
DRUMS = 9  # channel
# What parts are played by, in General MIDI, by their names; all others by a piano.
PROGRAMS = {"soprano": 52, "alto": 52, "tenor": 52, "bass": 52, "choir": 52, "melody": 40, "violin": 40, "flute": 73}
CHANNELS = [channel for channel in range(16) if channel != DRUMS]
TICKS = 480  # a beat
SIGNATURE = "danqing:"
ROLL = (512, 512)  # pixels
PAPER, INKS = "#faf8f4", ("#b5402f", "#2f5d8a", "#4f7d4a", "#8a6a2f", "#6b4a8a", "#3f8a86")


def read(content: bytes, name: str) -> Kept:
    content, media_type = unpacked(content, name)
    score = parse(content, media_type)
    pitches = [note.pitch for note in score.notes]
    # Intervals, so that the same music in another key is found alike.
    steps = ",".join(str(b - a) for a, b in pairwise(pitches))
    alike = hashlib.sha256(f"{len(pitches)}:{steps}".encode()).hexdigest()[:24]
    return Kept(content, media_type, alike, facts=facts_of(score))


def facts_of(score: Piece) -> dict[str, Any]:
    pitches = [note.pitch for note in score.notes]
    return {
        "notes": len(pitches),
        "parts": len({note.part for note in score.notes}),
        "seconds": round(score.seconds, 1),
        "bars": bars_of(score),
        "lowest": min(pitches),
        "highest": max(pitches),
    }


def bars_of(score: Piece) -> int:
    """From the first bar line on; what comes before it is bar 0."""
    end = max(note.start + note.duration for note in score.notes)
    return max(1, math.ceil(round((end - score.pickup) / bar_of(score.metre), 3)))


def unpacked(content: bytes, name: str) -> tuple[bytes, str]:
    """(MIDI, plain MusicXML or ABC, its media type), by the name. Raises UnsupportedMedia, Invalid."""
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
    if suffix is None:
        raise UnsupportedMedia("The file is not MIDI (.mid), MusicXML (.musicxml, .mxl) or ABC (.abc)")
    if suffix == ".mxl":
        return from_mxl(content), MUSICXML
    return content, SUFFIXES[suffix]


def guessed_type(content: bytes) -> str:
    """Of a file that is kept, whose name is not known."""
    if content.startswith(b"MThd"):
        return MIDI
    return MUSICXML if content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") else ABC


def from_mxl(content: bytes) -> bytes:
    """The score inside a compressed MusicXML file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            scores = [
                entry
                for entry in archive.infolist()
                if entry.filename.lower().endswith((".xml", ".musicxml"))
                and not entry.filename.upper().startswith("META-INF")
                and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            ]
            with archive.open(scores[0]) as score:
                found = score.read(MOST + 1)
    except Exception as error:  # a hostile archive makes zipfile raise whatever it likes
        raise Invalid("The compressed MusicXML is broken") from error
    if len(found) > MOST:
        raise Invalid("The score is too large")
    return found


def parse(content: bytes, media_type: str) -> Piece:
    """Raises Invalid when it cannot be played."""
    try:
        score = READERS[media_type](content)
    except Invalid:
        raise
    except Exception as error:  # parsers of foreign bytes raise whatever they like
        raise Invalid("The music is broken or cut off") from error
    if not score.notes:
        raise Invalid("It contains no notes")
    if not all(0 <= note.start <= LONGEST and 0 <= note.duration <= LONGEST for note in score.notes):
        raise Invalid("Its notes have impossible times")  # not a number among them
    if not math.isfinite(score.seconds):
        raise Invalid("It has an impossible tempo")
    return score


# --- MIDI -----------------------------------------------------------------------------------------------------------


def from_midi(content: bytes) -> Piece:
    if len(content) > MOST_MIDI:
        raise Invalid("A MIDI file may have at most {mebibytes} MiB", mebibytes=MOST_MIDI >> 20)
    file = mido.MidiFile(file=io.BytesIO(content), clip=True)
    if file.ticks_per_beat <= 0:
        raise Invalid("Its timing is in film frames, not in beats")
    notes = few(
        note for number, track in enumerate(file.tracks) for note in track_notes(track, number, file.ticks_per_beat)
    )
    metre, pickup = metre_of(file)
    names = {16 * number + channel: track.name for number, track in enumerate(file.tracks) for channel in range(16)}
    return Piece(in_order(notes), file.length if file.type < 2 else 0.0, metre, pickup, names)


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


# --- MusicXML -------------------------------------------------------------------------------------------------------


def from_musicxml(content: bytes) -> Piece:
    root = defusedxml.ElementTree.fromstring(content)
    if root.tag != "score-partwise":
        raise Invalid("It is not a partwise MusicXML score")
    parts = list(root.iter("part"))
    notes = few(note for number, part in enumerate(parts) for note in part_notes(part, number))
    named = {part.get("id"): part.findtext("part-name") or "" for part in root.iter("score-part")}
    names = {number: named.get(part.get("id"), "") for number, part in enumerate(parts)}
    title = root.findtext("work/work-title") or root.findtext("movement-title") or ""
    metre, pickup = written_metre(parts[0]) if parts else ((4, 4), 0.0)
    tempo, end = 120.0, max((note.start + note.duration for note in notes), default=0.0)
    if (sound := next((s for s in root.iter("sound") if s.get("tempo")), None)) is not None:
        tempo = float(sound.get("tempo") or tempo)
    return Piece(in_order(notes), 60 * end / tempo if tempo > 0 else math.nan, metre, pickup, names, title)


def written_metre(part: Element) -> tuple[tuple[int, int], float]:
    """(the first metre, beats before the first bar line), which a first measure has that is shorter."""
    measure = part.find("measure")
    if measure is None or (time := measure.find("attributes/time")) is None:
        return (4, 4), 0.0
    metre = int(time.findtext("beats") or 4), int(time.findtext("beat-type") or 4)
    if min(metre) < 1:
        raise Invalid("Its metre is impossible")
    lengths = [note.start + note.duration for note in part_notes(alone(part, measure), 0)]
    length = max(lengths, default=0.0)
    return metre, length if length < bar_of(metre) else 0.0


def alone(part: Element, measure: Element) -> Element:
    """A part that is this measure."""
    made = Element(part.tag)
    made.append(measure)
    return made


def part_notes(part: Element, number: int) -> Iterator[Note]:
    """Notes of a part, repeats and grace notes left out; tied notes are one."""
    divisions, now, last = 1.0, 0.0, 0.0
    tied: dict[int, Note] = {}  # by pitch: they go on
    for measure in part.iter("measure"):
        for event in measure:
            if event.tag == "attributes":
                divisions = float(event.findtext("divisions") or divisions) or 1.0
            length = float(event.findtext("duration") or 0) / divisions
            if event.tag == "backup":
                now -= length
            elif event.tag == "forward":
                now += length
            elif event.tag == "note":
                together = event.find("chord") is not None
                if not together:
                    last, now = now, now + length
                pitch = event.find("pitch")
                if pitch is not None and event.find("grace") is None:
                    note = Note(last, length, midi_pitch(pitch), number)
                    ties = {tie.get("type") for tie in event.iter("tie")}
                    if "stop" in ties and (before := tied.pop(note.pitch, None)):
                        note = replace(before, duration=last + length - before.start)
                    if "start" in ties:
                        tied[note.pitch] = note
                    else:
                        yield note
    yield from tied.values()


def midi_pitch(pitch: Element) -> int:
    octave, alter = int(pitch.findtext("octave") or 4), float(pitch.findtext("alter") or 0)
    return max(0, min(127, 12 * (octave + 1) + STEPS[pitch.findtext("step") or "C"] + round(alter)))


READERS = {MIDI: from_midi, MUSICXML: from_musicxml, ABC: abc.read}


# --- to look at -----------------------------------------------------------------------------------------------------


def piano_roll(content: bytes, media_type: str) -> bytes:
    """A PNG: time to the right, pitch upwards, a colour a part."""
    notes = parse(content, media_type).notes
    width, height = ROLL
    page = Image.new("RGB", ROLL, PAPER)
    pen = ImageDraw.Draw(page)
    end = max(note.start + note.duration for note in notes) or 1.0
    low, high = min(note.pitch for note in notes) - 2, max(note.pitch for note in notes) + 2
    row = height / (high - low + 1)
    parts = sorted({note.part for note in notes})
    for note in notes:
        left, top = note.start / end * (width - 1), (high - note.pitch) * row
        right = max(left + 1, (note.start + note.duration) / end * (width - 1) - 1)
        pen.rectangle((left, top, right, top + max(1.0, row - 1)), fill=INKS[parts.index(note.part) % len(INKS)])
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


# --- made by models -------------------------------------------------------------------------------------------------


def encode(score: Score) -> Kept:
    """MIDI of type 1: a track that says the tempo, and one for each part."""
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(score.tempo))
    file.tracks.append(mido.MidiTrack([tempo, *metres(score)]))
    named = dict(enumerate(score.parts))
    for channel, part in zip(CHANNELS, sorted({note.part for note in score.notes}), strict=False):
        notes = [note for note in score.notes if note.part == part]
        file.tracks.append(track_of(notes, channel, named.get(part, "")))
    buffer = io.BytesIO()
    file.save(file=buffer)
    content = buffer.getvalue()
    return Kept(content, MIDI, facts=facts_of(parse(content, MIDI)))


def score_in(content: bytes, media_type: str) -> Score:
    """Of a file of whatever medium. Raises Conflict for what is no music."""
    if media_type not in READERS:
        raise Conflict("This is no music")
    return decode(content, media_type)


def metres(score: Score) -> Iterator[mido.MetaMessage]:
    """What comes before the first bar line is a bar of its own, as notation programs write it."""
    if score.pickup:
        short = Fraction(score.pickup / 4).limit_denominator(64)
        above = short.numerator * (64 // short.denominator) if 64 % short.denominator == 0 else 0
        if above:
            shrink = math.gcd(above, 16)
            yield mido.MetaMessage("time_signature", numerator=above // shrink, denominator=64 // shrink)
            time = round(score.pickup * TICKS)
            yield mido.MetaMessage("time_signature", numerator=score.metre[0], denominator=score.metre[1], time=time)
            return
    yield mido.MetaMessage("time_signature", numerator=score.metre[0], denominator=score.metre[1])


def decode(content: bytes, media_type: str) -> Score:
    """Its tempo is the mean one; drums are left out."""
    piece = parse(content, media_type)
    beats = max(note.start + note.duration for note in piece.notes)
    numbers = {part: number for number, part in enumerate(sorted({note.part for note in piece.notes}))}
    notes = [replace(note, part=numbers[note.part]) for note in piece.notes]
    tempo = 60 * beats / piece.seconds if piece.seconds > 0 else 120.0
    names = [piece.parts.get(part, "") for part in numbers]
    return Score(notes, tempo, names, piece.metre, piece.pickup, piece.title)


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
    if not content.startswith(b"MThd") or len(content) > MOST_MIDI:
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


def described(score: Work) -> Message:
    return Message("{seconds:g} s, {notes} notes", seconds=score.facts["seconds"], notes=score.facts["notes"])


MEDIUM = Medium(
    MUSIC,
    {MIDI: ".mid", MUSICXML: ".musicxml", ABC: ".abc"},
    read,
    encode=encode,
    decode=decode,
    suffixes=tuple(SUFFIXES),
    sign=sign,
    signed=signed,
    most_bytes=lambda: MOST,
    words=Words(
        Message("Music"),
        Message("This has to be music"),
        Message("Drop MIDI, MusicXML or ABC, a folder or a zip here"),
        Message("Length"),
        described,
        make=Message("Compose"),
    ),
    extent="seconds",
    unit=Message("s"),
    totals={"seconds": Message("Total time"), "notes": Message("Notes")},
    poster=piano_roll,
    tables=Tables((".abc",), abc.tunes, ".abc"),
)
