"""Scores as files of other programs, as notation and as sound."""

from __future__ import annotations

import io
import sys
import threading
import wave
from collections.abc import Callable
from dataclasses import replace

import defusedxml.ElementTree
import numpy as np
import pytest
import soundfile

from app.artworks import renderings, service
from app.artworks.tables import Artwork
from app.errors import Conflict, Invalid, Unavailable
from app.media import midi, musicxml, scores, sound
from app.media.engraving import engraved
from app.media.listening import listening
from app.media.musicxml import spelled
from app.media.score import STEPS
from models.contract.values import Note, Score
from models.contract.voices import SILENCE, voices_of

CHOIR = ["Soprano", "Bass"]
NOWHERE = b"<note><rest/><duration>inf</duration><notations><fermata/></notations></note>"


def piece(**facts: object) -> Score:
    """Two voices in G minor with an upbeat, a tie over a bar line, triplets and a silence."""
    triplet = [(5 + i / 3, 1 / 3, pitch) for i, pitch in enumerate((66, 67, 69))]
    upper = [(0, 1, 67), (1, 1, 70), (2, 3, 69), *triplet, (7, 2, 67)]
    lower = [(0, 1, 43), (1, 4, 50), (5, 0.5, 38), (5.5, 0.25, 40), (5.75, 0.25, 42), (6, 3, 43)]
    notes = [Note(*note, part) for part, voice in enumerate((upper, lower)) for note in voice]
    return Score(sorted(notes, key=lambda n: (n.start, -n.pitch)), 72.0, CHOIR, (4, 4), 1.0, **facts)  # type: ignore[arg-type]


def test_musicxml_says_the_same_when_it_is_read_again() -> None:
    again = scores.decode(musicxml.write(piece(title="Étude")), scores.MUSICXML)
    assert (again.metre, again.pickup, again.parts, again.title) == ((4, 4), 1.0, CHOIR, "Étude")
    assert round(again.tempo) == 72

    def in_ticks(score: Score) -> list[tuple[int, int, int, int]]:
        return sorted((round(24 * n.start), round(24 * n.duration), n.pitch, n.part) for n in score.notes)

    assert in_ticks(again) == in_ticks(piece())


def test_phrases_end_in_every_file_where_they_did() -> None:
    held = replace(piece(), phrase_ends=[5.0, 9.0])
    for write, kind in ((musicxml.write, scores.MUSICXML), (midi.write, scores.MIDI)):
        assert scores.decode(write(held), kind).phrase_ends == [5.0, 9.0]
        assert scores.decode(write(piece()), kind).phrase_ends == []
    assert musicxml.write(held).count(b"<fermata") == 4, "in either voice"
    alone = Score([Note(beat, 1, 60 + beat, 0) for beat in range(12)], phrase_ends=[4.0, 6.0, 12.0])
    written = musicxml.write(alone)
    assert b"fermata" not in written and scores.decode(written, scores.MUSICXML).phrase_ends == [4.0, 12.0]


def test_a_phrase_that_ends_nowhere_is_forgotten() -> None:
    """It would slow the piece down, or end the training of a collection."""
    beyond = replace(piece(), phrase_ends=[5.0, 400.0])
    again = scores.decode(midi.write(beyond), scores.MIDI)
    assert again.phrase_ends == [5.0] and round(again.tempo) == 72
    early = replace(piece(), phrase_ends=[0.5, 9.0])  # within the upbeat
    assert scores.decode(midi.write(early), scores.MIDI).phrase_ends == [0.5, 9.0]
    odd = musicxml.write(piece()).replace(b"</measure></part>", NOWHERE + b"</measure></part>", 1)
    assert scores.decode(odd, scores.MUSICXML).phrase_ends == []


def test_music_of_no_length_is_none() -> None:
    moment = musicxml.write(piece()).replace(b"<divisions>24<", b"<divisions>24000000<")
    with pytest.raises(Invalid, match="no notes"):
        scores.decode(moment, scores.MUSICXML)
    silent = Score([Note(0, 4, 60, 0), Note(1, 0.001, 48, 1)])
    assert [[note.pitch for note in line] for line in voices_of(silent)] == [[60], [SILENCE]]


def test_notes_are_spelled_as_the_key_has_them() -> None:
    assert spelled(60, 0) == ("C", 0, 4) and spelled(59, 0) == ("B", 0, 3)
    assert spelled(66, -2)[:2] == ("F", 1), "the leading note of G minor"
    assert spelled(70, -2)[:2] == ("B", -1) and spelled(61, 2)[:2] == ("C", 1)
    assert spelled(71, -6) == ("C", -1, 5) and spelled(60, 6) == ("B", 1, 3)
    for fifths in range(-6, 7):
        for pitch in range(21, 109):
            letter, alter, octave = spelled(pitch, fifths)
            assert 12 * (octave + 1) + STEPS[letter] + alter == pitch


@pytest.mark.parametrize(
    ("means", "signs"),
    [
        ((71, 62, 57, 56), ["G", "G", "G-1", "F"]),
        ((64,), ["G"]),
        ((56,), ["G-1"]),
        ((72, 61), ["G", "G"]),
        ((50,), ["F"]),
    ],
)
def test_every_voice_has_the_clef_that_it_is_read_in(means: tuple[int, ...], signs: list[str]) -> None:
    notes = [Note(0, 4, pitch, part) for part, pitch in enumerate(means)]
    score = Score(notes, 72.0, [str(pitch) for pitch in means])
    clefs = defusedxml.ElementTree.fromstring(musicxml.write(score)).iter("clef")
    assert [clef.findtext("sign", "") + clef.findtext("clef-octave-change", "") for clef in clefs] == signs


def test_a_score_is_engraved_in_whatever_thread() -> None:
    pages: list[bytes] = []
    threads = [threading.Thread(target=lambda: pages.append(engraved(piece()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(pages) == 4 and all(page.startswith(b"<svg") and b"Soprano" in page for page in pages)


def test_programs_of_a_choir_are_in_its_midi() -> None:
    midi = scores.encode(piece()).content
    assert midi.count(b"\xc0\x34") == 1 and midi.count(b"\xc1\x34") == 1, "choir on both channels"
    found = listening(scores.decode(midi, scores.MIDI))
    assert (found.parts, found.programs, found.bar, found.pickup) == (CHOIR, [52, 52], 4.0, 1.0)
    assert found.notes[0] == (0.0, 1.0, 67, 0) and not found.is_cut


@pytest.mark.skipif(not sound.can_play(), reason="set-up could fetch no soundfont here")
def test_a_score_is_heard() -> None:
    with wave.open(io.BytesIO(sound.wav(scores.encode(piece()).content))) as played:
        assert (played.getframerate(), played.getnchannels(), played.getsampwidth()) == (48000, 2, 2)
        assert played.getnframes() / 48000 == pytest.approx(9 * 60 / 72 + 2, abs=0.5)
        samples = np.frombuffer(played.readframes(48000 * 3), np.int16)
    assert np.abs(samples).max() > 1000


@pytest.mark.skipif(not sound.can_play(), reason="set-up could fetch no soundfont here")
def test_a_score_is_heard_from_a_smaller_file() -> None:
    midi = scores.encode(piece()).content
    whole, small = sound.wav(midi), sound.opus(midi)
    assert small.startswith(b"OggS") and len(small) < len(whole) / 8
    played, rate = soundfile.read(io.BytesIO(small), dtype="float32")
    given, _ = soundfile.read(io.BytesIO(whole), dtype="float32")
    assert rate == 48000 and played.shape == given.shape
    loud = [np.abs(each[: 48000 * 9]).reshape(-1, 4800).max(1) for each in (played, given)]
    assert np.corrcoef(*loud)[0, 1] > 0.95, "the same notes at the same times"


def test_sound_that_cannot_be_made_smaller_is_said() -> None:
    with pytest.raises(Unavailable, match="could not be played"):
        sound.made_by([sys.executable, "-m", "app.media.opus"], b"no sound")


def test_what_cannot_be_rendered_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    midi = scores.encode(piece()).content
    monkeypatch.setattr(service, "content", lambda work: midi)
    work = Artwork(media_type=scores.MIDI, facts={"seconds": 7.5})
    assert renderings.rendered(work, "svg").startswith(b"<svg") and b"score-partwise" in renderings.rendered(
        work, "musicxml"
    )
    with pytest.raises(Conflict, match="no music"):
        renderings.rendered(Artwork(media_type="image/png", facts={}), "svg")
    with pytest.raises(Invalid, match="minutes"):
        renderings.rendered(Artwork(media_type=scores.MIDI, facts={"seconds": 5000}), "wav")
    monkeypatch.setattr(renderings, "MOST_ENGRAVED", 3)
    with pytest.raises(Invalid, match="3 notes"):
        renderings.rendered(work, "svg")
    monkeypatch.setattr(renderings, "MOST_ENGRAVED", 30)
    monkeypatch.setattr(renderings, "MOST_BARS", 1)
    with pytest.raises(Invalid, match="1 bars"):
        renderings.rendered(work, "svg")
    monkeypatch.setattr(sound, "SOUNDFONT_FILE", "nothing.sf3")
    with pytest.raises(Unavailable, match="soundfont"):
        renderings.rendered(work, "wav")


@pytest.mark.parametrize(
    "change",
    [
        lambda n: Note(n.start * 1.013, n.duration * 0.97, n.pitch, n.part),
        lambda n: Note(n.start / 7, n.duration / 7, n.pitch, n.part),
        lambda n: Note(n.start * 100, n.duration, n.pitch, n.part),
        lambda n: Note(n.start, n.duration, 127, n.part),
    ],
    ids=["played freely", "very short", "with long silences", "very high"],
)
def test_whatever_is_played_can_be_engraved(change: Callable[[Note], Note]) -> None:
    notes = [change(note) for note in piece().notes]
    for metre in ((4, 4), (7, 8), (3, 2), (1, 16)):
        assert engraved(Score(notes, 72.0, CHOIR, metre, 0.3)).startswith(b"<svg")
