"""ABC notation: what each sign does to the notes, books of tunes, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.errors import Invalid
from app.media import abc, scores

HEAD = "X:1\nT:A tune\nM:4/4\nL:1/4\nK:C\n"


def notes(body: str, head: str = HEAD) -> list[tuple[float, float, int]]:
    """(start, duration, pitch) in beats."""
    found = scores.parse((head + body).encode(), scores.ABC).notes
    return [(round(note.start, 3), round(note.duration, 3), note.pitch) for note in found]


def pitches(body: str, head: str = HEAD) -> list[int]:
    return [pitch for _, _, pitch in notes(body, head)]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("C, C c c'", [48, 60, 72, 84]),
        ("^C _D =E ^^F __G", [61, 61, 64, 67, 65]),
        ("^F F | F", [66, 66, 65]),  # an accidental holds to the end of its measure,
        ("^F f | f", [66, 78, 77]),  # in every octave,
        ("^F =F F", [66, 65, 65]),  # until another one
        ('"Am"A !trill!B {cd}c (de) .f ~g vA Tb', [69, 71, 72, 74, 76, 77, 79, 69, 83]),
        ("C [K:G] F % F", [60, 66]),
        ("|:C D:|2 [1 E |]", [60, 62, 64]),
    ],
)
def test_pitches(body: str, wanted: list[int]) -> None:
    assert pitches(body) == wanted


@pytest.mark.parametrize(
    ("body", "wanted", "ends"),
    [
        ("C4|D4||E4|F4|]", [0, 4, 8, 12], [8, 16]),
        ("|:C4|D4:|:E4:|", [0, 4, 8], [8, 12]),
        ("|:C4|1 D4:|2 E4||F4|]", [0, 4, 8], [8, 12]),  # of two endings the last
        ("C4[1 D4:|[2 E4|F4||", [0, 4, 8], [12]),
        ("C4|1 D4:|2 E4:|3 F4|]", [0, 4], [8]),
        ("C4|1 D4:|E4|", [0, 4, 8], [8]),  # a second ending that never comes
        ("C4|1 D4:|E4||F4[2 G4|]", [0, 4, 8, 12, 16], [8, 12, 20]),  # or that comes too late
        ("C4-|1 C4:|2 E4|]", [0, 4], [8]),  # and one that a note was tied into
        ("C|D", [0, 1], []),
    ],
)
def test_parts_and_their_endings(body: str, wanted: list[float], ends: list[float]) -> None:
    piece = scores.parse((HEAD + body).encode(), scores.ABC)
    assert ([note.start for note in piece.notes], piece.phrase_ends) == (wanted, ends)
    assert all(a.start + a.duration <= b.start for a, b in pairwise(piece.notes))


def test_an_ending_is_left_out_of_every_voice() -> None:
    piece = scores.parse((HEAD + "V:1\nC4|1 D4:|2 E4|]\nV:2\nC,4|D,4|E,4|]").encode(), scores.ABC)
    assert [(note.start, note.pitch, note.part) for note in piece.notes] == [
        (0, 60, 0),
        (0, 48, 1),
        (4, 64, 0),
        (4, 52, 1),
    ]


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("G", [66]),
        ("Gm", [65, 70, 63]),
        ("D mix", [66, 60]),
        ("Ador", [66]),
        ("Bb", [70, 63]),
        ("F#m", [66, 61, 68]),
        ("HP", [66, 61]),
        ("C ^f", [66]),
        ("none", [65]),
    ],
)
def test_keys(key: str, wanted: list[int]) -> None:
    letters = {66: "F", 65: "F", 70: "B", 63: "E", 60: "C", 61: "C", 68: "G"}
    found = pitches(" ".join(letters[pitch] for pitch in wanted), HEAD.replace("K:C", f"K:{key}"))
    assert found == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("C2 D/ E// F3/2", [(0, 2), (2, 0.5), (2.5, 0.25), (2.75, 1.5)]),
        ("C>D E<F", [(0, 1.5), (1.5, 0.5), (2, 0.5), (2.5, 1.5)]),
        ("C>>D", [(0, 1.75), (1.75, 0.25)]),
        ("(3CDE F", [(0, 0.667), (0.667, 0.667), (1.333, 0.667), (2, 1)]),
        ("(3:2:2CD E", [(0, 0.667), (0.667, 0.667), (1.333, 1)]),
        ("C-C D-E", [(0, 2), (2, 1), (3, 1)]),  # a tie joins one pitch, not two
        ("C z D Z E", [(0, 1), (2, 1), (7, 1)]),
        ("[CEG]2 D", [(0, 2), (0, 2), (0, 2), (2, 1)]),
    ],
)
def test_times(body: str, wanted: list[tuple[float, float]]) -> None:
    assert [(start, duration) for start, duration, _ in notes(body)] == wanted


def test_a_short_metre_counts_in_sixteenths_and_a_tempo_in_its_own_beat() -> None:
    assert notes("C", "X:1\nM:2/4\nK:C\n") == [(0, 0.25, 60)]
    assert notes("C", "X:1\nM:6/8\nK:C\n") == [(0, 0.5, 60)]
    assert scores.parse(b"X:1\nL:1/4\nQ:3/8=80\nK:C\nCDEF", scores.ABC).seconds == pytest.approx(4 * 60 / 120)


def test_voices_sound_together() -> None:
    found = scores.parse((HEAD + "V:1\nc d\nV:2\nC2\nV:1\ne").encode(), scores.ABC).notes
    assert [(note.start, note.pitch, note.part) for note in found] == [(0, 72, 0), (0, 60, 1), (1, 74, 0), (2, 76, 0)]


def test_a_book_gives_its_tunes_each_with_what_stands_at_its_top() -> None:
    book = b"%abc-2.1\nM:6/8\n\nX:1\nT:One\nK:D\nFA\n\nX:2\nT:Two \nT:or Second\nK:G\nGB\n"
    rows = list(abc.tunes(book, ".abc"))
    assert [row.title for row in rows] == ["One", "Two"]
    assert [pitches("", row.content.decode()) for row in rows] == [[66, 69], [67, 71]]
    kept = scores.read(rows[0].content, "book.abc#1.abc")
    assert kept.media_type == scores.ABC and kept.facts["notes"] == 2 and scores.poster(kept.content, scores.ABC)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not ABC"),
        (b"\x89PNG\r\n\x1a\n", "not ABC"),
        (b"X:1\nK:C\n", "no note"),
        (b"X:1\nQ:0\nK:C\nCDE", "broken"),
        (b"X:1\nL:1/0\nK:C\nCDE", "broken"),
        (b"X:1\nK:C\n" + b"C" * 100_001, "more than 100000 notes"),
        (b"X:1\nM:9999/1\nK:C\nZ9999C", "impossible times"),
        (b"K:C\n" + b" " * (1 << 20), "1 MiB"),
    ],
)
def test_what_is_no_tune_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        scores.parse(content, scores.ABC)


@pytest.mark.parametrize("bracket", [b"[A:", b"{", b"[c"])
def test_brackets_without_an_end_are_soon_read(bracket: bytes) -> None:
    """It would take minutes if each looked for an end in all that follows."""
    assert scores.parse(b"X:1\nK:C\nC" + bracket * 20_000, scores.ABC).notes
