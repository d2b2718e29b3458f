"""ABC, the notation of folk tunes in plain text: https://abcnotation.com/wiki/abc:standard:v2.1.

Read are notes, chords, rests, ties, tuplets, broken rhythm, keys, metres, tempo, voices, and where parts end. Left out
are grace notes, ornaments, words, repeats and the endings before them; overlays and macros are not known.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate

from app.errors import Invalid
from app.media.medium import Row
from app.media.score import STEPS, Piece, few, in_order
from models.contract.values import Note, bar_of

MOST = 1 << 20
ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
SHARPS = "FCGDAEB"
MODES = {"lyd": 1, "maj": 0, "ion": 0, "": 0, "mix": -1, "dor": -2, "min": -3, "m": -3, "aeo": -3, "phr": -4, "loc": -5}
KEY = re.compile(r"\s*([A-G])([#b]?)\s*([A-Za-z]*)")
EXPLICIT = re.compile(r"(?<!\S)(\^\^?|__?|=)([A-Ga-g])(?!\w)")
FIELD = re.compile(r"[A-Za-z]:")
LENGTH = r"(?:\d{0,4}/*\d{0,4})"
NOTE = rf"(?:\^\^?|__?|=)?[A-Ga-g][',]*{LENGTH}"
# What is in brackets is bounded: to look for an end that never comes, from each of many beginnings, would take long.
TOKEN = re.compile(
    rf"""
    (?P<skipped> "[^"]*" | ![^!]*! | \+[a-z]+\+ | \{{[^}}]{{0,200}}\}} )
  | (?P<inline> \[[A-Za-z]:[^\]]{{0,200}}\] )
  | \((?P<tuplet>\d(?::\d?){{0,2}})
  | (?P<bar> (?: \[\|\]? | :*\|[|\]:]* | ::+ ) \d? | \[\d )
  | \[(?P<chord>[^\]|]{{0,200}})\](?P<chord_length>{LENGTH})
  | (?P<note>{NOTE})
  | (?P<rest>[zxZX]{LENGTH})
  | (?P<broken> >+ | <+ )
  | (?P<tie> - )
    """,
    re.VERBOSE,
)
PARTS = re.compile(rf"(\^\^?|__?|=)?([A-Ga-g])([',]*)({LENGTH})")


def decoded(content: bytes) -> str:
    """Raises Invalid."""
    if len(content) > MOST:
        raise Invalid("An ABC file may have at most {mebibytes} MiB", mebibytes=MOST >> 20)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # as older collections are written


def tunes(content: bytes, suffix: str) -> Iterator[Row]:
    """The tunes of a book, each with what is said at its top, and its title. Raises Invalid."""
    top, *rest = re.split(r"(?m)^(?=X:)", decoded(content))
    for tune in rest or [top]:
        title = re.search(r"(?m)^T:[ \t]*(.*)$", tune)
        whole = top + tune if rest else tune
        yield Row(whole.encode(), title[1].strip() if title else "")


def rhythm(content: bytes) -> str:
    """What kind of tune it says that it is, such as a reel; "" for nothing."""
    field = re.search(r"(?m)^R:(.*)$", decoded(content))
    return field[1].strip().lower() if field else ""


def read(content: bytes) -> Piece:
    """One tune. Raises Invalid for what is none."""
    text = decoded(content)
    if not re.search(r"(?m)^K:", text) or "\0" in text:
        raise Invalid("It is not ABC: no line names a key (K:)")
    tune = Tune()
    notes, first = few(tune.play(text)), next(iter(tune.voices.values()))
    cuts = Cuts(first.cuts)
    notes = [kept for note in notes if (kept := cuts.kept(note))]
    end = max((note.start + note.duration for note in notes), default=0.0)
    ends = sorted({cuts.after(beat) for beat in first.ends} - {0.0})
    title = re.search(r"(?m)^T:[ \t]*(.*)$", text)
    pickup = tune.pickup if 0 < tune.pickup < tune.metre else 0.0
    name = title[1].strip() if title else ""
    return Piece(in_order(notes), 60 * end / tune.tempo, tune.signature, pickup, title=name, phrase_ends=ends)


def length(text: str) -> float:
    """'3/2' is 1.5, '/' a half, '//' a quarter, '' one."""
    above, slashes, below = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()  # type: ignore[union-attr]
    return int(above or 1) / (int(below) if below else 2 ** len(slashes))


def signature(text: str) -> dict[str, int]:
    """Semitones by letter, of a key such as `Gm`, `D mix`, `HP` or `C ^f`."""
    if text.strip()[:2].upper() == "HP":  # the Highland pipes
        return {"F": 1, "C": 1}
    found = KEY.match(text)
    fifths = 0
    if found:
        mode = found[3].lower() if found[3].lower() == "m" else found[3].lower()[:3]
        fifths = SHARPS.index(found[1]) - 1 + {"#": 7, "b": -7, "": 0}[found[2]] + MODES.get(mode, 0)
    raised = dict.fromkeys(SHARPS[: max(0, fifths)], 1)
    lowered = dict.fromkeys(SHARPS[::-1][: max(0, -fifths)], -1)
    explicit = {letter.upper(): ACCIDENTALS[sign] for sign, letter in EXPLICIT.findall(text)}
    return {**raised, **lowered, **explicit}


@dataclass
class Voice:
    """Where a voice is, and what holds for its next notes."""

    part: int
    now: float = 0.0
    altered: dict[str, int] = field(default_factory=dict)  # in this measure
    last: list[Note] = field(default_factory=list)  # not given out yet: a tie or a broken rhythm may change it
    tied: bool = False
    next_factor: float = 1.0
    tuplet: tuple[float, int] = (1.0, 0)  # factor, for how many more
    ends: list[float] = field(default_factory=list)  # of parts
    ending: float | None = None  # where one begins that another may replace
    cuts: list[tuple[float, float]] = field(default_factory=list)

    def bar(self, text: str) -> None:
        """A bar line; a part ends with one that is doubled or repeats. Of several endings only the last is kept."""
        self.altered = {}
        line, ending = text.rstrip("0123456789"), text[-1]
        if line not in ("|", "["):
            self.ends.append(self.now)
        if ending == "1":
            self.ending = self.now
        elif ending.isdigit() and self.ending is not None:
            self.cuts.append((self.ending, self.now))
            while self.ends and self.ends[-1] > self.ending:
                self.ends.pop()
            self.ending = self.now
        elif line not in ("|", "[") and not line.startswith(":"):  # nothing is played again from there
            self.ending = None


class Cuts:
    """What is left out: spans of beats, in order."""

    def __init__(self, spans: list[tuple[float, float]]) -> None:
        self.spans, self.starts = spans, [start for start, _ in spans]
        self.before = [0.0, *accumulate(end - start for start, end in spans)]

    def after(self, beat: float) -> float:
        """Where that beat is once they are left out."""
        at = bisect_right(self.starts, beat)
        inside = max(0.0, self.spans[at - 1][1] - beat) if at else 0.0
        return beat - self.before[at] + inside

    def kept(self, note: Note) -> Note | None:
        at = bisect_right(self.starts, note.start)
        if at and note.start < self.spans[at - 1][1]:
            return None
        start = self.after(note.start)
        return replace(note, start=start, duration=self.after(note.start + note.duration) - start)


class Tune:
    """Reads line by line; `unit`, `metre` in beats, `tempo` in beats a minute."""

    def __init__(self) -> None:
        self.unit, self.metre, self.tempo = 0.0, 4.0, 120.0
        self.key: dict[str, int] = {}
        self.voices = {"": Voice(0)}
        self.voice = self.voices[""]
        self.compound = False
        self.signature, self.pickup = (4, 4), -1.0  # beats before the first bar line; less than 0: not there yet

    def play(self, text: str) -> Iterator[Note]:
        for raw in text.splitlines():
            line = raw.split("%", 1)[0].strip()
            if FIELD.match(line):
                self.set(line[0], line[2:])
            else:
                yield from self.music(line)
        for voice in self.voices.values():
            yield from voice.last

    def set(self, name: str, value: str) -> None:
        """A field of the head, of a line or within one."""
        if name == "K":
            self.key = signature(value)
        elif name == "M" and (metre := re.match(r"\s*\(?(\d+(?:\+\d+)*)\)?/(\d+)", value)):
            self.set_metre((sum(map(int, metre[1].split("+"))), int(metre[2])))
        elif name == "M":
            self.set_metre((2, 2) if value.strip() == "C|" else (4, 4))  # C, C| and none
        elif name == "L" and (unit := re.match(r"\s*(\d+)/(\d+)", value)):
            self.unit = 4 * int(unit[1]) / int(unit[2])
        elif name == "Q" and (tempo := re.search(r"(?:(\d+)/(\d+)\s*=\s*)?(\d+)\s*$", value.split('"')[-1] or value)):
            beat = 4 * int(tempo[1]) / int(tempo[2]) if tempo[1] else 1.0
            self.tempo = beat * int(tempo[3])
        elif name == "V":
            key = (value.split() or [""])[0]
            if self.voices.keys() == {""} and self.voice.now == 0:
                self.voices = {key: self.voice}
            self.voice = self.voices.setdefault(key, Voice(len(self.voices)))

    def set_metre(self, signature: tuple[int, int]) -> None:
        self.metre, self.compound = bar_of(signature), signature[0] in (6, 9, 12)
        if self.pickup < 0:
            self.signature = signature

    def music(self, line: str) -> Iterator[Note]:
        for token in TOKEN.finditer(line):
            kind, voice = token.lastgroup, self.voice
            text = token[0]
            if kind == "inline":
                self.set(text[1], text[3:-1])
            elif kind == "bar":
                voice.bar(text)
                if self.pickup < 0 and voice.now:
                    self.pickup = voice.now
            elif kind == "tuplet":
                voice.tuplet = self.tuplet(token["tuplet"])
            elif kind == "tie":
                voice.tied = True
            elif kind == "broken":
                yield from self.bend(text)
            elif kind == "note":
                yield from self.sound([text], 1.0)
            elif kind == "chord_length":
                inside = [found[0] for found in PARTS.finditer(token["chord"])]
                yield from self.sound(inside, length(token["chord_length"]))
            elif kind == "rest":
                size = length(text[1:]) * (self.metre if text[0] in "ZX" else self.unit_length)
                yield from self.move([], size)

    @property
    def unit_length(self) -> float:
        """An eighth, or a sixteenth where the metre is short, unless the tune says."""
        return self.unit or (0.25 if self.metre < 3 else 0.5)

    def tuplet(self, text: str) -> tuple[float, int]:
        p, q, r = (*(int(n) if n else 0 for n in text.split(":")), 0, 0)[:3]
        q = q or {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(p, 3 if self.compound else 2)
        return (q / p if p else 1.0), r or p

    def sound(self, texts: list[str], factor: float) -> Iterator[Note]:
        """One note, or those of a chord, which lasts as long as its first."""
        found = [PARTS.fullmatch(text) for text in texts]
        pitches = [self.pitch(note[1], note[2], note[3]) for note in found if note]
        if found and found[0]:
            yield from self.move(pitches, factor * length(found[0][4]) * self.unit_length)

    def pitch(self, sign: str | None, letter: str, octave: str) -> int:
        upper = letter.upper()
        if sign:
            self.voice.altered[upper] = ACCIDENTALS[sign]
        semitones = self.voice.altered.get(upper, self.key.get(upper, 0))
        height = (72 if letter.islower() else 60) + 12 * (octave.count("'") - octave.count(","))
        return max(0, min(127, height + STEPS[upper] + semitones))

    def move(self, pitches: list[int], duration: float) -> Iterator[Note]:
        """The voice sounds these pitches, or rests, and goes on; what was held back is given out."""
        voice = self.voice
        factor, left = voice.tuplet
        if left:
            duration *= factor
            voice.tuplet = (factor, left - 1)
        duration *= voice.next_factor
        voice.next_factor = 1.0
        if voice.tied and pitches and pitches == [note.pitch for note in voice.last]:
            voice.last = [replace(note, duration=note.duration + duration) for note in voice.last]
        else:
            yield from voice.last
            voice.last = [Note(voice.now, duration, pitch, voice.part) for pitch in pitches]
        voice.tied = False
        voice.now += duration

    def bend(self, marks: str) -> Iterator[Note]:
        """`a>b`: the first half as long again, the second half as long; `<` the other way round."""
        voice, short = self.voice, 0.5 ** len(marks)
        first, voice.next_factor = (2 - short, short) if marks[0] == ">" else (short, 2 - short)
        if voice.last:
            change = voice.last[0].duration * (first - 1)
            voice.last = [replace(note, duration=note.duration + change) for note in voice.last]
            voice.now += change
        yield from ()
