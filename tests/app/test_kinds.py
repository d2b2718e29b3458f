"""Datasets of music and of texts: what is read, what is refused, what is alike, and export."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from PIL import Image

from app.database import session_scope
from app.datasets import prepare, rhymes, service
from app.datasets.schemas import DatasetIn
from app.errors import Invalid, UnsupportedMedia
from app.media import MEDIA, abc, scores, texts
from models.contract.preparation import (
    PicturePreparation,
    Preparation,
    ScorePreparation,
    SquarePreparation,
    TextPreparation,
    size_near,
)
from models.contract.values import Note, Score
from models.data.items import Scores, Texts
from models.data.pictures import Unsuitable, open_collection
from models.data.prepared import open_prepared
from tests.app.test_datasets import add, drawing, listed, zipped

TUNE = [(60, 1.0), (62, 0.5), (64, 0.5), (67, 2.0)]
SCORE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="4.0"><part-list><score-part id="P1"/></part-list><part id="P1">
<measure number="1"><attributes><divisions>2</divisions></attributes><sound tempo="60"/>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration></note>
<note><chord/><pitch><step>E</step><alter>-1</alter><octave>4</octave></pitch><duration>2</duration></note>
<note><rest/><duration>1</duration></note>
<note><pitch><step>G</step><octave>4</octave></pitch><duration>1</duration></note>
<backup><duration>4</duration></backup><note><pitch><step>C</step><octave>3</octave></pitch><duration>4</duration></note>
</measure></part></score-partwise>"""


def midi(tune: list[tuple[int, float]], bpm: float = 120, tail: int = 0) -> bytes:
    """One track; `tail` notes of percussion, which are no notes to us."""
    file, track = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
    for pitch, beats in tune:
        track.append(mido.Message("note_on", note=pitch, velocity=80))
        track.append(mido.Message("note_off", note=pitch, time=round(480 * beats)))
    track += [mido.Message("note_on", note=36, velocity=80, channel=9) for _ in range(tail)]
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def make(kind: str) -> str:
    with session_scope() as session:
        return service.create(session, None, DatasetIn(name=f"some {kind}", kind=kind)).id


def copy_of(dataset: str, kind: str) -> str:
    """Its export, imported."""
    with session_scope() as session:
        second = service.create(session, None, DatasetIn(name=f"{kind} again", kind=kind)).id
        found = service.get(session, dataset)
    add(second, ("export.zip", io.BytesIO(b"".join(service.export(found)))))
    return second


def versions(*datasets: str) -> set[str]:
    with session_scope(writing=False) as session:
        return {service.version(session, dataset) for dataset in datasets}


# --- music ----------------------------------------------------------------------------------------------------------


def test_midi_and_musicxml_are_read_into_the_same_kind_of_notes() -> None:
    found = scores.read(midi(TUNE, bpm=60, tail=3), "a.mid")
    assert found.facts == {"notes": 4, "parts": 1, "seconds": 4.0, "bars": 1, "lowest": 60, "highest": 67}
    assert "drums" in str(found.remark) and scores.read(midi(TUNE), "a.mid").remark is None
    still = midi(TUNE).replace(b"\xff\x51\x03\x07\xa1\x20", b"\xff\x51\x03\0\0\0")
    assert "120" in str(scores.read(still, "a.mid").remark)
    score = scores.parse(SCORE.encode(), scores.MUSICXML)
    notes = [(note.start, note.duration, note.pitch) for note in score.notes]
    assert notes == [(0, 1, 63), (0, 1, 60), (0, 2, 48), (1.5, 0.5, 67)] and score.seconds == 2.0
    packed = zipped({"META-INF/container.xml": b"<container/>", "score.xml": SCORE.encode()}).getvalue()
    assert scores.read(packed, "a.MXL").content == SCORE.encode()


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.mp3", b"ID3", UnsupportedMedia),
        ("a.mid", b"", Invalid),
        ("a.mid", b"MThd" + bytes(40), Invalid),
        ("a.mid", midi(TUNE)[:60], Invalid),
        ("a.mid", midi([], tail=5), Invalid),
        ("a.mid", midi(TUNE).replace(b"\x01\xe0", b"\xe7\x28", 1), Invalid),
        ("a.musicxml", b"<score-timewise/>", Invalid),
        ("a.xml", b"<html><note/></html>", Invalid),
        ("a.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><score-partwise><part>&b;</part></score-partwise>', Invalid),
        ("a.xml", SCORE.replace("<divisions>2", "<divisions>nan").encode()[:400], Invalid),
        ("a.xml", SCORE.replace('tempo="60"', 'tempo="nan"').encode(), Invalid),
        ("a.xml", SCORE.replace("<duration>2<", "<duration>inf<").encode(), Invalid),
        ("a.xml", SCORE.replace("<divisions>2<", "<divisions>nan<").encode(), Invalid),
        ("a.xml", SCORE.replace("<duration>2<", "<duration>-9<").encode(), Invalid),
        ("a.mxl", b"PK\x03\x04", Invalid),
        ("a.mxl", zipped({"readme.txt": b"x"}).getvalue(), Invalid),
    ],
)
def test_music_that_cannot_be_played_is_refused(name: str, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        scores.read(content, name)


def test_a_piano_roll_shows_every_part() -> None:
    roll = Image.open(io.BytesIO(scores.poster(SCORE.encode(), scores.MUSICXML)))
    assert roll.size == scores.ROLL
    inked = {colour for _, colour in roll.getcolors(10_000)}
    assert len(inked) == 2  # paper, and the one part


@pytest.mark.usefixtures("in_process")
def test_a_collection_of_music_has_captions_look_alikes_sums_and_an_export(tmp_path: Path) -> None:
    dataset = make("music")
    transposed = [(pitch + 5, beats) for pitch, beats in TUNE]
    report = add(
        dataset,
        ("jig.mid", midi(TUNE)),
        ("jig.txt", b"a slow jig"),
        ("higher.mid", midi(transposed)),
        ("score.musicxml", SCORE.encode()),
        ("packed.mxl", zipped({"s.xml": SCORE.replace(">60<", ">90<").replace('tempo="60"', 'tempo="90"').encode()})),
        ("noise.mid", b"noise"),
        ("picture.png", b"\x89PNG"),
    )
    assert (report.accepted, report.refused) == (4, 2)
    items = {item.name: item for item in listed(dataset)}
    assert items["jig.mid"].caption == "a slow jig" and items["jig.mid"].media_type == "audio/midi"
    assert items["higher.mid"].similar_to == items["jig.mid"].id
    with session_scope(writing=False) as session:
        found = service.statistics(session, service.get(session, dataset))
    assert found.unit == "s" and found.totals["notes"] == 16 and found.largest == 2 and found.colours == []
    assert len(versions(dataset, copy_of(dataset, "music"))) == 1
    taken = prepare.snapshot(dataset)
    card = prepare.write(tmp_path / "prepared", taken, 0, ScorePreparation())
    prepared = open_prepared(tmp_path / "prepared")
    assert isinstance(prepared, Scores) and (card["medium"], card["count"]) == ("music", 4)
    jig = next(i for i, item in enumerate(prepared.items) if item["title"] == "a slow jig")
    assert [note.pitch for note in prepared.score(jig).notes] == [pitch for pitch, _ in TUNE]
    with pytest.raises(Invalid, match="No family trains on films"):
        prepare.write(tmp_path / "films", replace(taken, medium="films"), 0, Preparation())


def test_metres_and_upbeats_are_read_and_written() -> None:
    notes = [Note(0, 1, 60, 0), Note(1, 3, 64, 0), Note(4, 1, 65, 1)]
    for metre, pickup in (((3, 4), 1.0), ((6, 8), 0.5), ((4, 4), 0.0), ((2, 2), 1.5)):
        again = scores.decode(scores.encode(Score(notes, 90.0, ["Air", "Bass"], metre, pickup)).content, scores.MIDI)
        assert (again.metre, again.pickup, again.parts, round(again.tempo)) == (metre, pickup, ["Air", "Bass"], 90)
        assert [(n.start, n.duration, n.pitch, n.part) for n in again.notes] == [
            (n.start, n.duration, n.pitch, n.part) for n in notes
        ]
    tune = scores.decode(b"X:1\nT:Up\nM:6/8\nL:1/8\nR:Jig\nK:D\nA|dAF dAF|\n", scores.ABC)
    assert (tune.metre, tune.pickup, tune.title) == ((6, 8), 0.5, "Up") and abc.rhythm(b"R: Slip Jig\n") == "slip jig"
    time = "<time><beats>3</beats><beat-type>4</beat-type></time>"
    upbeat = scores.decode(SCORE.replace("2</divisions>", f"2</divisions>{time}").encode(), scores.MUSICXML)
    assert (upbeat.metre, upbeat.pickup) == ((3, 4), 2.0)


@pytest.mark.usefixtures("in_process")
def test_one_painting_becomes_many_patches(tmp_path: Path) -> None:
    dataset = make("pictures")
    add(dataset, ("painting.png", drawing(1, size=200)))
    taken = prepare.snapshot(dataset)
    card = prepare.write(tmp_path / "patches", taken, 32, SquarePreparation(fit="patches", mirror=True))
    again = prepare.write(tmp_path / "again", taken, 32, SquarePreparation(fit="patches", mirror=True))
    assert card["count"] == 2000 and card["splits"] == {"train": 1900, "held_out": 100} and card["size"] == 32
    assert card["version"] == again["version"]
    whole = prepare.write(tmp_path / "whole", taken, 32, SquarePreparation(mirror=True))
    assert whole["count"] == 1


@pytest.mark.usefixtures("in_process")
def test_pictures_may_keep_their_proportions(tmp_path: Path) -> None:
    dataset = make("pictures")
    wide = Image.new("RGB", (300, 200), "white")
    wide.paste("red", (0, 0, 150, 200))
    content = io.BytesIO()
    wide.save(content, "PNG")
    add(dataset, ("wide.png", content.getvalue()), ("square.png", drawing(1, size=90)))
    taken = prepare.snapshot(dataset)
    card = prepare.write(tmp_path / "kept", taken, 256, PicturePreparation())
    data = open_collection(tmp_path / "kept")
    assert card["size"] == 256 and card["fit"] == "keep" and data.images.shape == (2, 256, 256, 3)
    (i,) = (i for i, item in enumerate(data.items) if item["width"] != item["height"])
    assert data.picture(i).shape == (192, 320, 3) and data.size(i) == (192, 320) and data.size(1 - i) == (256, 256)
    assert (data.picture(i)[:, :150] == (255, 0, 0)).all() and (data.picture(i)[:, 170:] == 255).all()
    assert np.array_equal(data.picture(1 - i), data.images[1 - i])


@pytest.mark.parametrize(
    ("picture", "side", "size"),
    [
        ((90, 90), 512, (512, 512)),
        ((3000, 2000), 512, (640, 384)),
        ((2000, 3000), 512, (384, 640)),
        ((1600, 900), 1024, (1344, 768)),
        ((10_000, 100), 512, (1024, 256)),
        ((5, 4), 64, (64, 64)),
        ((5, 3), 64, (80, 48)),
    ],
)
def test_sizes_are_near_the_proportions(picture: tuple[int, int], side: int, size: tuple[int, int]) -> None:
    assert size_near(*picture, side) == size and size[0] * size[1] <= side * side


# --- texts ----------------------------------------------------------------------------------------------------------


def test_texts_have_one_normal_form() -> None:
    found = texts.read("\ufeff静夜思\r\n  床前\t明月光 \r\n\r\n".encode(), "li bai.txt")
    assert found.content.decode() == "静夜思\n  床前 明月光\n"
    assert found.facts == {"characters": 12, "lines": 2, "excerpt": "静夜思\n  床前 明月光"}
    assert (
        texts.read("10\u00a0km 👩\u200d🎨\u3000x".encode(), "d.txt").content.decode()
        == "10\u00a0km 👩\u200d🎨\u3000x\n"
    )
    assert texts.read("静夜思 床前明月光!".encode(), "b.md").fingerprint == found.fingerprint
    assert texts.read("e\u0301".encode("utf-16"), "c.txt").content.decode() == "é\n"
    assert texts.read(found.content, "again.txt").content == found.content


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.pdf", b"%PDF", UnsupportedMedia),
        ("a.txt", b"\xff\xd8\xff", Invalid),
        ("a.txt", b"a\0b", Invalid),
        ("a.txt", b" \n\n", Invalid),
    ],
)
def test_what_is_no_text_is_refused(name: str, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        texts.read(content, name)


@pytest.mark.usefixtures("in_process")
def test_files_and_rows_of_tables_are_works() -> None:
    dataset = make("texts")
    rows = [
        {"title": "春晓", "author": "孟浩然", "paragraphs": ["春眠不觉晓，", "处处闻啼鸟。"]},
        {"title": "One", "text": "a line\u2028of its own"},
    ]
    report = add(
        dataset,
        ("sonnet.txt", b"Shall I compare thee\nto a summer's day?"),
        ("poems.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()),
        ("more.csv", b"title,text\nTwo,some words\n,\nThree,more words\n"),
        ("odd.jsonl", b'{"text": "half a sign: \\ud83d"}'),
        ("broken.jsonl", b"{"),
    )
    assert report.accepted == 6 and {each.name for each in report.refusals} == {"more.csv#2.txt", "broken.jsonl"}
    captions = {item.name: item.caption for item in listed(dataset)}
    assert captions == {
        "sonnet.txt": "sonnet",
        "poems.jsonl#1.txt": "春晓 · 孟浩然",
        "poems.jsonl#2.txt": "One",
        "more.csv#1.txt": "Two",
        "more.csv#3.txt": "Three",
        "odd.jsonl#1.txt": "",
    }
    with session_scope(writing=False) as session:
        row = service.get(session, dataset)
        found = service.statistics(session, row)
    assert found.unit == "characters" and found.totals["lines"] == 9
    content = b"".join(service.export(row))
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        assert sum(name.endswith(".txt") for name in made.namelist()) == 6
    assert len(versions(dataset, copy_of(dataset, "texts"))) == 1


def test_every_kind_says_how_large_its_items_are() -> None:
    assert {medium.unit for medium in MEDIA.values()} == {"px", "frames", "s", "characters"}


@pytest.mark.usefixtures("in_process")
def test_texts_are_prepared_as_they_are_with_rhymes_where_a_family_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"白日依山盡，黃河入海流{i}。", "title": f"詩{i}", "author": "王之渙"} for i in range(12)]
    with session_scope() as session:
        dataset = service.create(session, None, DatasetIn(name="Poems", kind="texts")).id
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert add(dataset, ("poems.jsonl", lines.encode())).accepted == 12
    taken = prepare.snapshot(dataset)
    card = prepare.write(tmp_path / "plain", taken, 0, TextPreparation())
    assert (card["medium"], card["count"], card["splits"]["held_out"]) == ("texts", 12, 2)
    found = open_prepared(tmp_path / "plain")
    assert isinstance(found, Texts) and found.items[0]["author"] == "王之渙" and found.items[0]["title"][0] == "詩"
    assert {item["text"] for item in found.items} == {row["text"] for row in rows}
    with pytest.raises(Unsuitable, match="rhymes"):
        found.file("rhymes.json")
    monkeypatch.setattr(rhymes, "rhyme_table", lambda cache, check_cancelled: {"上平聲一東": "東"})
    again = prepare.write(tmp_path / "verse", taken, 0, TextPreparation(rhymes=True))
    other = open_prepared(tmp_path / "verse")
    assert isinstance(other, Texts) and "東" in other.file("rhymes.json") and again["version"] != card["version"]
