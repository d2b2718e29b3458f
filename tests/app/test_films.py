"""Datasets of films: what is read, what is refused, what is alike, export; and the collection of moving emoji."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from app.database import session_scope
from app.datasets import fetching, prepare, service, starters
from app.errors import Invalid, UnsupportedMedia
from app.media import films
from app.settings import get_settings
from models.contract.preparation import Preparation
from tests.app.test_datasets import add, drawing, listed
from tests.app.test_kinds import copy_of, make, versions


def film(numbers: list[int], form: str = "WEBP", size: int = 48, milliseconds: int = 40) -> bytes:
    """One frame a number."""
    first, *rest = (Image.open(io.BytesIO(drawing(number, size=size))) for number in numbers)
    buffer = io.BytesIO()
    more = {"lossless": True} if form == "WEBP" else {}
    first.save(buffer, form, save_all=True, append_images=rest, duration=milliseconds, loop=0, **more)
    return buffer.getvalue()


def claiming(frames: int) -> bytes:
    """An animated PNG that says it has so many."""
    content = film([1, 2], "PNG")
    at = content.index(b"acTL")
    body = b"acTL" + struct.pack(">II", frames, 0)
    return content[:at] + body + struct.pack(">I", zlib.crc32(body)) + content[at + len(body) + 4 :]


def beyond(gif: bytes, side: int) -> bytes:
    """Its last frame is so large."""
    at = gif.rindex(b"\x00,") + 2
    return gif[: at + 4] + struct.pack("<HH", side, side) + gif[at + 8 :]


@pytest.mark.parametrize(("form", "media_type"), [("WEBP", "image/webp"), ("GIF", "image/gif"), ("PNG", "image/apng")])
def test_films_of_three_forms_are_played_and_kept(form: str, media_type: str) -> None:
    content = film([1, 2, 3, 4, 5], form)
    found = films.read(content, "a")
    assert (found.media_type, found.width, found.height) == (media_type, 48, 48)
    assert films.read(found.content, "again").content == found.content
    assert frames_of(found.content) == frames_of(content)
    assert found.facts == {"frames": 5, "seconds": 0.2}
    poster = Image.open(io.BytesIO(films.poster(content, media_type)))
    assert poster.format == "PNG" and poster.size == (48, 48)
    assert found.fingerprint == films.read(film([1, 7, 3, 8, 9]), "b").fingerprint, (
        "the first and the middle frame tell"
    )
    assert found.fingerprint != films.read(film([1, 2, 4, 4, 5]), "c").fingerprint


def frames_of(content: bytes) -> list[bytes]:
    played = Image.open(io.BytesIO(content))
    found = []
    for number in range(played.n_frames):  # type: ignore[attr-defined]
        played.seek(number)
        found.append(played.convert("RGBA").tobytes())
    return found


@pytest.mark.parametrize("form", ["WEBP", "GIF", "PNG"])
def test_nothing_is_kept_beside_the_film(form: str) -> None:
    first, second = (Image.open(io.BytesIO(drawing(number))) for number in (1, 2))
    told = Image.Exif()
    told[0x010E] = "at home"  # a description
    buffer = io.BytesIO()
    more = {"comment": b"at home"} if form == "GIF" else {"exif": told}
    first.save(buffer, form, save_all=True, append_images=[second], duration=40, **more)
    content = buffer.getvalue() + b"<script>at home</script>"
    assert content.count(b"at home") > 1
    assert b"at home" not in films.read(content, "a").content


def test_a_still_picture_before_the_film_is_not_of_it() -> None:
    first, *rest = (Image.open(io.BytesIO(drawing(number))) for number in (1, 2, 3))
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=rest, duration=40, default_image=True)
    assert films.read(buffer.getvalue(), "a.png").facts == {"frames": 2, "seconds": 0.08}


def test_a_frame_that_gives_no_time_is_shown_as_browsers_do() -> None:
    assert films.read(film([1, 2], "GIF", milliseconds=0), "a.gif").facts["seconds"] == 0.2


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (b"", Invalid, "empty"),
        (b"\x00\x00\x00\x20ftypisom", UnsupportedMedia, "not an animated"),
        (drawing(1, form="JPEG"), UnsupportedMedia, "not an animated"),
        (drawing(1), Invalid, "does not move"),
        (drawing(1, form="WEBP"), Invalid, "does not move"),
        (film([1, 2, 3])[:400], Invalid, "broken"),
        (film([1, 2, 3], "GIF")[:-200], Invalid, "broken"),
        (film([1, 2, 3], "PNG")[:-100], Invalid, "broken"),
        (claiming(4), Invalid, "broken"),
        (claiming(1 << 30), Invalid, "too long"),
        (film([1, 2], size=1100), Invalid, "1024 pixels a side"),
        (beyond(film([1, 2, 3], "GIF"), 3000), Invalid, "larger than the film"),
        (film([1, 2, 3, 4], "GIF")[:-1], Invalid, "broken"),
    ],
)
def test_what_cannot_be_played_is_refused(content: bytes, error: type[Exception], reason: str) -> None:
    with pytest.raises(error) as refused:
        films.read(content, "a.webp")
    assert reason in str(refused.value)


@pytest.mark.usefixtures("in_process")
def test_a_collection_of_films_has_captions_look_alikes_sums_and_an_export(tmp_path: Path) -> None:
    dataset = make("films")
    report = add(
        dataset,
        ("walk.webp", film([1, 2, 3, 4])),
        ("walk.txt", b"a walk"),
        ("again.gif", film([1, 5, 3, 6], "GIF")),
        ("run.png", film([7, 8], "PNG")),
        ("still.png", drawing(1)),
    )
    assert (report.accepted, report.refused) == (3, 1)
    items = {item.name: item for item in listed(dataset)}
    assert items["walk.webp"].caption == "a walk" and items["run.png"].media_type == "image/apng"
    assert items["again.gif"].similar_to == items["walk.webp"].id
    with session_scope(writing=False) as session:
        found = service.statistics(session, service.get(session, dataset))
    assert (found.unit, found.smallest, found.largest, found.totals) == ("frames", 2, 4, {"seconds": 0.4})
    assert len(versions(dataset, copy_of(dataset, "films"))) == 1
    with pytest.raises(Invalid, match="No family trains on films"):
        prepare.write(tmp_path / "prepared", prepare.snapshot(dataset), 0, Preparation())


@pytest.mark.usefixtures("in_process")
def test_moving_emoji_have_names_and_no_skin_tones(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [get_settings().data / "packages" / each.spec.replace("/", "__") for each in starters.MOVING]
    for folder in folders:
        (folder / "assets").mkdir(parents=True)
    still = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(still, "WEBP")
    put(folders[0] / "assets/2764-fe0f.webp", film([1, 2]))
    put(folders[3] / "assets/1f44b.webp", film([3, 4]))
    put(folders[3] / "assets/1f44b-1f3fd.webp", film([5, 6]))
    put(folders[1] / "assets/1f6a9.webp", film([7, 8]))
    put(folders[1] / "assets/1f600.webp", still.getvalue())
    words = {
        "2764": ("red heart", "红心", 8),
        "1F44B": ("waving hand", "挥手", 1),
        "1F6A9": ("triangular flag", "三角旗", 9),
    }
    names = get_settings().data / "packages" / starters.EMOJIBASE.spec
    for language in (0, 1):
        rows = [{"hexcode": code, "label": said[language], "group": said[2]} for code, said in words.items()]
        put(names / ("en", "zh")[language] / "data.json", json.dumps(rows).encode())
    monkeypatch.setattr(fetching, "fetch_pypi", None)
    fetched = fetching.fetch("moving-emoji", None)
    assert fetched.dataset
    assert (fetched.accepted, fetched.refused, fetched.dataset.kind) == (3, 0, "films")
    captions = {item.name: item.caption for item in listed(fetched.dataset.id)}
    assert captions == {
        "2764-fe0f.webp": "red heart · 红心",
        "1f44b.webp": "waving hand · 挥手",
        "1f6a9.webp": "triangular flag · 三角旗",
    }
    assert names.exists() and not any(folder.exists() for folder in folders), "hundreds of megabytes are not kept twice"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
