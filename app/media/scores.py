"""Music: MIDI, MusicXML and ABC, read into notes to see that they can be played, and kept as they came."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

from app.errors import Conflict, Invalid, UnsupportedMedia
from app.media import abc, midi, musicxml
from app.media.medium import Kept, Medium, Tables, Words, Work
from app.media.score import Piece
from models.contract.message import Message
from models.contract.piano_roll import piano_roll
from models.contract.values import MUSIC, Score, bar_of
from models.contract.voices import ticks

MOST = musicxml.MOST
LONGEST = 100_000.0  # beats
MIDI, MUSICXML, ABC = "audio/midi", "application/vnd.recordare.musicxml+xml", "text/vnd.abc"
SUFFIXES = {".mid": MIDI, ".midi": MIDI, ".musicxml": MUSICXML, ".xml": MUSICXML, ".mxl": MUSICXML, ".abc": ABC}
ROLL = (512, 512)  # pixels


def read(content: bytes, name: str) -> Kept:
    content, media_type = unpacked(content, name)
    score = parse(content, media_type)
    pitches = [note.pitch for note in score.notes]
    # Intervals, so that the same music in another key is found alike.
    steps = ",".join(str(b - a) for a, b in pairwise(pitches))
    alike = hashlib.sha256(f"{len(pitches)}:{steps}".encode()).hexdigest()[:24]
    return Kept(content, media_type, alike, facts=facts_of(score), remark=remark(score))


def remark(score: Piece) -> Message | None:
    """What of it is not played."""
    if score.has_drums:
        return Message("Its drums are left out")
    return None if score.seconds > 0 else Message("Its tempo is nothing: it is played at 120 quarters a minute")


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
        return musicxml.unpacked(content), MUSICXML
    return content, SUFFIXES[suffix]


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
    last = max(note.start + note.duration for note in score.notes)
    if not ticks(last):  # a moment that no grid shows
        raise Invalid("It contains no notes")
    return replace(score, phrase_ends=[end for end in score.phrase_ends if 0 < end <= last])


READERS = {MIDI: midi.read, MUSICXML: musicxml.read, ABC: abc.read}


# --- to look at -----------------------------------------------------------------------------------------------------


def poster(content: bytes, media_type: str) -> bytes:
    """A PNG of its piano roll."""
    buffer = io.BytesIO()
    piano_roll(parse(content, media_type).notes, ROLL).save(buffer, "PNG")
    return buffer.getvalue()


# --- made by models -------------------------------------------------------------------------------------------------


def encode(score: Score) -> Kept:
    content = midi.write(score)
    return Kept(content, MIDI, facts=facts_of(parse(content, MIDI)))


def score_in(content: bytes, media_type: str) -> Score:
    """Of a file of whatever medium. Raises Conflict for what is no music."""
    if media_type not in READERS:
        raise Conflict("This is no music")
    return decode(content, media_type)


def decode(content: bytes, media_type: str) -> Score:
    """Its tempo is the mean one; drums are left out."""
    piece = parse(content, media_type)
    beats = max(note.start + note.duration for note in piece.notes)
    numbers = {part: number for number, part in enumerate(sorted({note.part for note in piece.notes}))}
    notes = [replace(note, part=numbers[note.part]) for note in piece.notes]
    tempo = 60 * beats / piece.seconds if piece.seconds > 0 else 120.0
    names = [piece.parts.get(part, "") for part in numbers]
    return Score(notes, tempo, names, piece.metre, piece.pickup, piece.title, piece.phrase_ends)


def described(score: Work) -> Message:
    return Message("{seconds:g} s, {notes} notes", seconds=score.facts["seconds"], notes=score.facts["notes"])


MEDIUM = Medium(
    MUSIC,
    {MIDI: ".mid", MUSICXML: ".musicxml", ABC: ".abc"},
    read,
    encode=encode,
    decode=decode,
    suffixes=tuple(SUFFIXES),
    sign=midi.sign,
    signed=midi.signed,
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
    poster=poster,
    tables=Tables((".abc",), abc.tunes, ".abc"),
)
