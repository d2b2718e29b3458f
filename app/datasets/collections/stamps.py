"""Cut-out photographs and drawings of things, captioned in English and Chinese, at 64 px."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.datasets.collections.parts import centred, fraction, from_svg, source
from app.datasets.prepared import Item, write_prepared
from app.packages.debian import DebianPackage, fetch_debian

PACKAGE = DebianPackage(
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    "GPL-2.0-or-later",
    "Tux Paint stamps, by their contributors",
)
SIZE, MARGIN = 64, 3
LEFT_OUT = "alphabets"  # letters are no things
HELD_OUT, SALT = 0.05, "stamps"


def captions(path: Path) -> tuple[str, str]:
    """(English, Chinese); empty where there is none."""
    beside = path.with_suffix(".txt")
    lines = beside.read_text("utf-8", "replace").splitlines() if beside.exists() else []
    chinese = next((line.partition("=")[2] for line in lines if line.startswith("zh_CN")), "")
    return (lines[0].strip().rstrip(".") if lines else "", chinese.strip().rstrip("。"))


def draw(path: Path) -> npt.NDArray[np.uint8] | None:
    """(64, 64, 3), or None for a drawing that has no size or shows nothing."""
    try:
        picture = from_svg(path.read_text("utf-8", "replace")) if path.suffix == ".svg" else Image.open(path)
    except ValueError:
        return None
    return centred(picture.convert("RGBA"), SIZE, MARGIN)


def items(folder: Path, check_cancelled: Callable[[], None]) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """In the order of their paths. Those of one folder and caption are one group."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".svg") and "mirror" not in p.stem):
        check_cancelled()
        english, chinese = captions(path)
        if not english or LEFT_OUT in path.parts:
            continue
        if (pixels := draw(path)) is None:
            continue
        key, group = str(path.relative_to(folder)), f"{path.parent.relative_to(folder)}/{english}"
        split = "held_out" if fraction(SALT, group) < HELD_OUT else "train"
        said = [text for text in (english, chinese) if text]
        tags = [part for part in path.parent.relative_to(folder).parts if part != "cartoon"]
        yield Item(key, key, group, "", split, english, chinese, said, False, tags=tags), pixels


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    files = fetch_debian(PACKAGE, cache, check_cancelled) / "usr/share/tuxpaint/stamps"
    return write_prepared(
        folder, items(files, check_cancelled), {"name": name, "title": "Stamps", "sources": [source(PACKAGE)]}
    )
