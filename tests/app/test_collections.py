"""Starter collections: what can be told without fetching them, and how a fetch is left."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.collections import COLLECTIONS, clipart, fashion, masters, portraits
from app.packages.debian import DebianPackage, fetch_debian
from app.packages.npm import NpmPackage, fetch_npm
from app.packages.package import FetchError, run


class Left(Exception):
    pass


def folders(place: Path) -> list[Path]:
    """What was fetched, or was left half fetched; files beside it are locks."""
    return [path for path in place.iterdir() if path.is_dir()]


def test_every_collection_has_a_size_and_a_builder() -> None:
    for name, style in portraits.STYLES.items():
        assert COLLECTIONS[name].size == style.size


def test_a_command_is_left_at_once_when_it_is_no_longer_wanted(tmp_path: Path) -> None:
    calls = []

    def check_cancelled() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Left

    began = time.monotonic()
    with pytest.raises(Left):
        run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, check_cancelled)
    assert time.monotonic() - began < 10


def test_a_package_that_cannot_be_fetched_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    missing = NpmPackage("./no-such-folder", "1.0.0", "0" * 64, "", "")
    with pytest.raises(FetchError, match="could not fetch"):
        fetch_npm(missing, tmp_path)
    assert folders(tmp_path) == []


def test_a_portrait_is_described_by_what_it_is_composed_of() -> None:
    style = portraits.STYLES["pixel-faces"]
    extra = {"hair": "long03", "hairColor": "#91cb15", "glasses": "dark01", "mouth": "happy02", "eyes": "variant01"}
    assert portraits.described(style, extra) == (
        ["green long hair", "sunglasses", "a smile"],
        ["绿色的长发", "墨镜", "微笑"],
    )
    assert portraits.described(portraits.STYLES["open-peeps"], {"head": "noHair2", "face": "calm"}) == (
        ["no hair"],
        ["光头"],
    )


def test_a_portrait_is_drawn_pixel_by_pixel_on_white() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="1" height="1" fill="#f00"/></svg>'
    pixels = portraits.draw(portraits.STYLES["pixel-faces"], svg)
    assert pixels.shape == (32, 32, 3)
    assert np.all(pixels[:2, :2] == [255, 0, 0]) and np.all(pixels[2:] == 255) and np.all(pixels[:, 2:] == 255)


def test_portraits_are_left_when_they_are_no_longer_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="{}" height="9"/></svg>'
    made = [{"svg": svg.format(i), "extra": {}} for i in range(1, 9)]
    monkeypatch.setattr(portraits, "lines", lambda style, cache, check_cancelled: iter(made))

    def check_cancelled() -> None:
        raise Left

    with pytest.raises(Left):
        portraits.build("pixel-faces", tmp_path / "pixel-faces", tmp_path, check_cancelled)
    assert not (tmp_path / "pixel-faces").exists()
    card = portraits.build("pixel-faces", tmp_path / "pixel-faces", tmp_path, lambda: None)
    assert card["count"] == 8 and card["size"] == 32


# --- Debian packages ------------------------------------------------------------------------------------------------

SPEC = DebianPackage("stamps", "1:2-3", hashlib.sha256(b"a package").hexdigest(), "MIT", "nobody")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt that knows a package only once its lists are of its own, and a dpkg-deb that unpacks one file."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "apt-get": f"""#!{sys.executable}
import sys
if "update" in sys.argv: sys.exit(0)
if not any("Dir::State::lists" in word for word in sys.argv): sys.exit("E: Unable to locate package")
open("stamps_1%3a2-3_all.deb", "wb").write(b"a package")
""",
        "dpkg-deb": f"""#!{sys.executable}
import pathlib, sys
folder = pathlib.Path(sys.argv[3]); folder.mkdir(); (folder / "fox.png").write_text("a fox")
""",
    }
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    return tools


def test_a_debian_package_is_fetched_checked_and_unpacked_once(apt: Path, tmp_path: Path) -> None:
    folder = fetch_debian(SPEC, tmp_path / "cache")
    assert (folder / "fox.png").read_text() == "a fox" and folders(tmp_path / "cache") == [folder]
    (apt / "apt-get").write_text("#!/bin/false\n")
    assert fetch_debian(SPEC, tmp_path / "cache") == folder


def test_another_package_than_the_pinned_one_is_refused_and_leaves_nothing(apt: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="expected 0000"):
        fetch_debian(replace(SPEC, sha256="0" * 64), tmp_path / "cache")
    (apt / "apt-get").write_text(f"#!{sys.executable}\nraise SystemExit('E: no network')\n")
    with pytest.raises(FetchError, match="apt could not fetch stamps=1:2-3: E: no network"):
        fetch_debian(SPEC, tmp_path / "cache")
    assert folders(tmp_path / "cache") == []


def test_a_system_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="no apt"):
        fetch_debian(SPEC, tmp_path / "cache")


def resources(files: dict[str, bytes], compressed: set[str]) -> bytes:
    """A Qt resource file with one folder, `image`."""
    names, data, tree = b"", b"", b""

    def named(name: str) -> int:
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        return at

    tree += struct.pack(">IHIIQ", named(""), 2, 1, 1, 0)
    tree += struct.pack(">IHIIQ", named("image"), 2, len(files), 2, 0)
    for name, content in files.items():
        flags = 1 if name in compressed else 0
        blob = struct.pack(">I", len(content)) + zlib.compress(content) if flags else content
        tree += struct.pack(">IHHHIQ", named(name), flags, 0, 1, len(data), 0)
        data += struct.pack(">I", len(blob)) + blob
    start = 24
    head = struct.pack(">4sIIIII", b"qres", 3, start + len(data) + len(names), start, start + len(data), 0)
    return head + data + names + tree


def piece(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (100, 80), colour).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def test_paintings_are_put_together_from_their_pieces(tmp_path: Path) -> None:
    board = """QtObject { property string instruction: qsTr("Hokusai, A Test - 1831")
        property var levels : [ { "pixmapfile" : "image/bg.svg", "width": 400, "height": 200 },
        { "pixmapfile" : "image/Test_a1.webp", "x" : "0.25", "y" : "0.5" },
        { "pixmapfile" : "image/Test_b1.webp", "x" : "0.5", "y" : "0.5" } ] }"""
    files = {"board1_0.qml": board.encode(), "Test_a1.webp": piece("red"), "Test_b1.webp": piece("blue")}
    content = resources(files, compressed={"board1_0.qml"})
    assert dict(masters.entries(content)) == {f"/image/{name}": blob for name, blob in files.items()}
    (folder := tmp_path / "usr/share/gcompris-qt/rcc").mkdir(parents=True)
    (folder / "paintings.rcc").write_bytes(content)
    ((name, title, picture),) = masters.paintings(tmp_path)
    assert (name, title, picture.size) == ("Test", "Hokusai, A Test - 1831", (200, 80))
    assert picture.getpixel((5, 40)) == (255, 0, 0) and picture.getpixel((195, 40)) == (0, 0, 255)
    with pytest.raises(ValueError, match="no Qt resource"):
        dict(masters.entries(b"RIFF" + bytes(40)))


def test_clothes_are_read_with_their_kinds(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("t10k", 2)):
        pictures = bytes(16) + bytes(range(count)) * 784
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pictures))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + bytes([9, 0, 8][:count])))
    made = list(fashion.items(tmp_path, lambda: None))
    assert [(item.split, item.style) for item, _ in made][:4:3] == [("train", "ankle boot"), ("held_out", "ankle boot")]
    assert len(made) == 5 and made[0][1].shape == (32, 32, 3)


def test_drawings_are_described_by_their_own_metadata_else_by_their_name() -> None:
    svg = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/"
        xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><dc:title>Red_fox 01</dc:title>
        <dc:subject><rdf:Bag><rdf:li>animal</rdf:li><rdf:li></rdf:li></rdf:Bag></dc:subject></svg>"""
    assert clipart.words(Path("x_nicu_buculei_.svg"), svg.encode()) == ("red fox", ["animal"])
    assert clipart.words(Path("sly_fox_02.svg"), b"no xml") == ("sly fox", [])


def test_drawings_of_any_unit_fill_a_square_and_nothing_is_nothing() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" {}><rect x="2" y="4" width="8" height="4" fill="red"/></svg>'
    for size in ('width="20pt" height="20pt"', 'width="3in" height="3in" viewBox="0 0 20 20"'):
        pixels = clipart.draw(svg.format(size).encode())
        assert pixels is not None and pixels.shape == (64, 64, 3)
        red, white = pixels[32, 6:58], pixels[:12]
        assert red[:, 0].min() > 250 and red[:, 1:].max() < 5 and white.min() > 250
    assert clipart.draw(b"no drawing") is clipart.draw(b'<svg xmlns="http://www.w3.org/2000/svg"/>') is None
