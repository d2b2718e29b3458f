"""MusicXML: read into notes, and written of scores for engraving and for notation programs (4.0, partwise)."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from xml.etree.ElementTree import Element, SubElement, tostring

import defusedxml.ElementTree

from app.errors import Invalid
from app.media.score import STEPS, Piece, few, in_order
from models.contract.values import Note, Score, bar_of
from models.contract.voices import SILENCE, TICKS, Sung, ticks, voices_of

HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 '
    b'Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
# Lengths that one sign can have, in ticks: its name, its dots, and whether it is one of three in the time of two.
PLAIN = {96: "whole", 48: "half", 24: "quarter", 12: "eighth", 6: "16th", 3: "32nd"}
SIGNS = {
    **{length: (name, 0, False) for length, name in PLAIN.items()},
    **{length * 3 // 2: (name, 1, False) for length, name in PLAIN.items() if length % 2 == 0},
    **{length * 2 // 3: (name, 0, True) for length, name in PLAIN.items()},
}
DOUBLED = {"light-light", "light-heavy", "heavy-light", "heavy-heavy"}
BEAMED = {"eighth", "16th", "32nd"}
LETTERS, NATURAL = "FCGDAEB", 1  # by fifths; C is the second of them
MOST = 8 << 20  # bytes, unpacked
MIDDLE_C, MAJOR = 60, (0, 2, 4, 5, 7, 9, 11)
# Signs, lines and octaves of clefs.
Clef = tuple[str, str, int]
TREBLE, TENOR, BASS = ("G", "2", 0), ("G", "2", -1), ("F", "4", 0)
CLEFS = ((61, TREBLE), (55, TENOR), (0, BASS))  # by the pitch that a voice has at least on the average


# --- read ---------------------------------------------------------------------------------------------------------


def unpacked(content: bytes) -> bytes:
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


def read(content: bytes) -> Piece:
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
    seconds = 60 * end / tempo if tempo > 0 else math.nan
    ends = next(filter(None, map(phrase_ends, parts)), [])
    return Piece(in_order(notes), seconds, metre, pickup, names, title, ends)


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


def timed(part: Element) -> Iterator[tuple[Element, float, float]]:
    """Notes, rests and bar lines of a part, each with its start and its length in beats."""
    divisions, now, last = 1.0, 0.0, 0.0
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
                if event.find("chord") is None:
                    last, now = now, now + length
                yield event, last, length
            elif event.tag == "barline":
                yield event, now, 0.0


def part_notes(part: Element, number: int) -> Iterator[Note]:
    """Notes of a part, repeats and grace notes left out; tied notes are one."""
    tied: dict[int, Note] = {}  # by pitch: they go on
    for event, start, length in timed(part):
        pitch = event.find("pitch")
        if pitch is None or event.find("grace") is not None:
            continue
        note = Note(start, length, midi_pitch(pitch), number)
        ties = {tie.get("type") for tie in event.iter("tie")}
        if "stop" in ties and (before := tied.pop(note.pitch, None)):
            note = replace(before, duration=start + length - before.start)
        if "start" in ties:
            tied[note.pitch] = note
        else:
            yield note
    yield from tied.values()


def phrase_ends(part: Element) -> list[float]:
    """Where notes end that are held, in beats; where none is, where bar lines are doubled."""
    held, doubled = set[float](), set[float]()
    for event, start, length in timed(part):
        if event.find("notations/fermata") is not None:
            held.add(start + length)
        elif event.findtext("bar-style", "regular") in DOUBLED and start:
            doubled.add(start)
    return sorted(held or doubled)


def midi_pitch(pitch: Element) -> int:
    octave, alter = int(pitch.findtext("octave") or 4), float(pitch.findtext("alter") or 0)
    return max(0, min(127, 12 * (octave + 1) + STEPS[pitch.findtext("step") or "C"] + round(alter)))


# --- written ------------------------------------------------------------------------------------------------------


def write(score: Score) -> bytes:
    """Each part is one voice on a staff of its own; notes are set on the grid of `models.contract.voices`."""
    root = Element("score-partwise", version="4.0")
    if score.title:
        SubElement(SubElement(root, "work"), "work-title").text = score.title
    voices = voices_of(score)
    listed = SubElement(root, "part-list")
    if len(voices) > 1:
        group = SubElement(listed, "part-group", type="start", number="1")
        SubElement(group, "group-symbol").text = "bracket"
        SubElement(group, "group-barline").text = "yes"
    for number, _ in enumerate(voices):
        part = SubElement(listed, "score-part", id=f"P{number + 1}")
        SubElement(part, "part-name").text = score.parts[number] if number < len(score.parts) else ""
    if len(voices) > 1:
        SubElement(listed, "part-group", type="stop", number="1")
    fifths = signature(note for voice in voices for note in voice)
    ends = {ticks(beat) for beat in score.phrase_ends}
    for number, voice in enumerate(voices):
        part = SubElement(root, "part", id=f"P{number + 1}")
        is_bass = 0 < number == len(voices) - 1
        for measure in measures(score, voice, fifths, clef_of(voice, is_bass), ends, len(voices) > 1):
            part.append(measure)
        if number == 0 and (first := part.find("measure")) is not None:
            tempo(first, score.tempo)
    return HEAD + tostring(root)


def tempo(measure: Element, quarters: float) -> None:
    """Said above the first measure."""
    direction = Element("direction", placement="above")
    metronome = SubElement(SubElement(direction, "direction-type"), "metronome")
    SubElement(metronome, "beat-unit").text = "quarter"
    SubElement(metronome, "per-minute").text = f"{quarters:.0f}"
    SubElement(direction, "sound", tempo=f"{quarters:g}")
    measure.insert(1, direction)


def signature(notes: Iterable[Sung]) -> int:
    """Sharps, or flats below 0, of the key signature that leaves the fewest accidentals."""
    found = Counter[int]()
    for note in notes:
        if note.pitch != SILENCE:
            found[note.pitch % 12] += note.duration

    def strangers(fifths: int) -> tuple[int, int]:
        own = {(7 * fifths + step) % 12 for step in MAJOR}
        return sum(count for pitch, count in found.items() if pitch not in own), abs(fifths)

    return min(range(-6, 7), key=strangers)


def spelled(pitch: int, fifths: int) -> tuple[str, int, int]:
    """(letter, semitones that it is altered by, octave): as near to the key as can be in the line of fifths."""
    lowest = fifths - 3
    place = lowest + (7 * pitch - lowest) % 12
    letter, alter = LETTERS[(place + NATURAL) % 7], (place + NATURAL) // 7
    return letter, alter, (pitch - alter - STEPS[letter]) // 12 - 1


def clef_of(voice: list[Sung], is_bass: bool) -> Clef:
    """The lowest of several voices is read in the bass clef, unless it stays above middle C."""
    sung = [note.pitch for note in voice if note.pitch != SILENCE]
    mean = sum(sung) / len(sung) if sung else CLEFS[0][0]
    if is_bass and mean < MIDDLE_C:
        return BASS
    return next(clef for least, clef in CLEFS if mean >= least)


def measures(
    score: Score, voice: list[Sung], fifths: int, clef: Clef, ends: set[int], is_choir: bool
) -> Iterator[Element]:
    """Of a voice; notes that reach over a bar line are tied. Where phrases end the notes of a choir are held; a single
    voice has a double bar, if a measure ends there.
    """
    bar, pickup = max(1, round(TICKS * score.bar)), ticks(score.pickup)
    end = voice[-1].end if voice else 0
    starts = [0, *range(pickup, end, bar)] if pickup else list(range(0, end, bar))
    for number, start in enumerate(starts):
        after = starts[number + 1] if number + 1 < len(starts) else end
        measure = Element("measure", number=str(number + (0 if pickup else 1)))
        if pickup and number == 0:
            measure.set("implicit", "yes")
        if number == 0:
            measure.append(attributes(score, fifths, clef))
        inside = [note for note in voice if note.start < after and note.end > start]
        found = [sign for note in inside for sign in signs(note, start, after, pickup)]
        measure.extend(beamed(found, fifths, pickup, beat_of(score.metre), ends if is_choir else set()))
        if not is_choir and after in ends:
            double(measure, after == end)
        yield measure


def double(measure: Element, is_last: bool) -> None:
    """Its bar line."""
    barline = SubElement(measure, "barline", location="right")
    SubElement(barline, "bar-style").text = "light-heavy" if is_last else "light-light"


def attributes(score: Score, fifths: int, clef: Clef) -> Element:
    made = Element("attributes")
    SubElement(made, "divisions").text = str(TICKS)
    SubElement(SubElement(made, "key"), "fifths").text = str(fifths)
    time = SubElement(made, "time")
    SubElement(time, "beats").text, SubElement(time, "beat-type").text = map(str, score.metre)
    sign, line, octaves = clef
    written = SubElement(made, "clef")
    SubElement(written, "sign").text, SubElement(written, "line").text = sign, line
    if octaves:
        SubElement(written, "clef-octave-change").text = str(octaves)
    return made


Sign = tuple[Sung, bool, bool]  # what one sign can show, and whether it is tied to the one before and after


def signs(note: Sung, start: int, after: int, pickup: int) -> Iterator[Sign]:
    """A note within a measure, in as few signs as show it; the first is as long as the beat allows."""
    now, end = max(note.start, start), min(note.end, after)
    while now < end:
        left, into = end - now, (now - pickup) % TICKS
        fits = [length for length in SIGNS if length <= left and (not into or length <= TICKS - into or length == left)]
        length = max(fits, default=left)
        yield Sung(now, note.voice, length, note.pitch), now > note.start, now + length < note.end
        now += length


def beat_of(metre: tuple[int, int]) -> int:
    """In ticks: three eighths where these are counted by threes."""
    return 3 * TICKS // 2 if metre[1] == 8 and metre[0] % 3 == 0 else TICKS


def beamed(found: list[Sign], fifths: int, pickup: int, beat: int, ends: set[int]) -> Iterator[Element]:
    """Signs of a measure; short ones of one beat are beamed, one with which a phrase ends is held."""

    def in_beat(sign: Sign) -> int | None:
        name = SIGNS.get(sign[0].duration, ("", 0, False))[0]
        return (sign[0].start - pickup) // beat if name in BEAMED and sign[0].pitch != SILENCE else None

    beats = [None, *(in_beat(sign) for sign in found), None]
    for i, sign in enumerate(found, 1):
        joins, goes_on = (beats[i] is not None and beats[j] == beats[i] for j in (i - 1, i + 1))
        beam = {(False, True): "begin", (True, True): "continue", (True, False): "end"}.get((joins, goes_on))
        is_held = sign[0].end in ends and sign[0].pitch != SILENCE and not sign[2]
        yield element(sign, fifths, beam, is_held)


def element(sign: Sign, fifths: int, beam: str | None, is_held: bool) -> Element:
    note, from_before, goes_on = sign
    made = Element("note")
    if note.pitch == SILENCE:
        SubElement(made, "rest")
    else:
        letter, alter, octave = spelled(note.pitch, fifths)
        pitch = SubElement(made, "pitch")
        SubElement(pitch, "step").text = letter
        if alter:
            SubElement(pitch, "alter").text = str(alter)
        SubElement(pitch, "octave").text = str(octave)
    SubElement(made, "duration").text = str(note.duration)
    ties = [kind for kind, yes in (("stop", from_before), ("start", goes_on)) if yes and note.pitch != SILENCE]
    for kind in ties:
        SubElement(made, "tie", type=kind)
    SubElement(made, "voice").text = "1"
    name, dots, is_triplet = SIGNS.get(note.duration, ("32nd", 0, False))
    SubElement(made, "type").text = name
    for _ in range(dots):
        SubElement(made, "dot")
    if is_triplet:
        modification = SubElement(made, "time-modification")
        SubElement(modification, "actual-notes").text, SubElement(modification, "normal-notes").text = "3", "2"
    if beam:
        SubElement(made, "beam", number="1").text = beam
    if ties or is_held:
        notations = SubElement(made, "notations")
        for kind in ties:
            SubElement(notations, "tied", type=kind)
        if is_held:
            SubElement(notations, "fermata")
    return made
