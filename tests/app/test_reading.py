"""How a text is set: verse or prose, and Chinese in both scripts."""

from __future__ import annotations

import pytest

from app.artworks import service
from app.artworks.tables import Artwork
from app.errors import NotFound
from app.gallery import reading
from app.media import texts

QUATRAIN = "白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。"
TRADITIONAL = "白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。"


def read(text: str, monkeypatch: pytest.MonkeyPatch) -> reading.Reading:
    content = texts.sign((text + "\n").encode(), {"model": "poet"})
    monkeypatch.setattr(service, "content", lambda work: content)
    found = reading.reading(Artwork(media_type="text/plain"))
    assert found is not None
    return found


def test_chinese_verse_is_there_in_both_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    simplified, traditional = read(QUATRAIN, monkeypatch), read(TRADITIONAL, monkeypatch)
    assert simplified.is_chinese and simplified.is_verse and not simplified.is_traditional
    assert (simplified.text, simplified.other) == (QUATRAIN, TRADITIONAL), "without the line that says how it was made"
    assert traditional.is_traditional and traditional.other == QUATRAIN
    assert read("山水。\n天下。", monkeypatch).other == "", "what is the same in both is there once"


def test_a_scene_is_set_by_its_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read("LADY MACBETH\nGive me the letter;\nI will not stay.\n\nMACBETH\nNo.\n\n[Exit MACBETH]", monkeypatch)
    assert [(part.speaker, part.words) for part in found.scene] == [
        ("LADY MACBETH", "Give me the letter;\nI will not stay."),
        ("MACBETH", "No."),
        ("", "[Exit MACBETH]"),
    ]
    assert not found.is_verse
    for prose in (QUATRAIN, "NOTICE", "A HEADING\nand prose.\n\nMore of it.\n\nAnd more."):
        assert not read(prose, monkeypatch).scene


def test_prose_and_other_languages_are_set_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    verse = read("Shall I compare thee to a summer's day?\nThou art more", monkeypatch)
    assert verse.is_verse and not verse.is_chinese and verse.other == ""
    assert not read(
        "A long line of prose that goes on and on beyond what a line of verse may be.\nYes.", monkeypatch
    ).is_verse
    assert not read("One line", monkeypatch).is_verse
    long = read("word " * 9000, monkeypatch)
    assert long.is_cut and len(long.text) == reading.LONGEST


def test_of_a_picture_or_a_file_that_is_gone_there_is_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(work: Artwork) -> bytes:
        raise NotFound("gone")

    monkeypatch.setattr(service, "content", gone)
    assert reading.reading(Artwork(media_type="text/plain")) is None
    assert reading.reading(Artwork(media_type="image/png")) is None
