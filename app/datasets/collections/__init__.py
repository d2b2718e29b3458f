"""Starter collections, built from public packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.contract.values import MUSIC, PICTURES, TEXTS


@dataclass(frozen=True)
class Collection:
    """What training reads, and the module here that builds it; `size` is the side of pictures."""

    title: str
    size: int
    builder: str
    needs_apt: bool = False  # its package is one of Debian
    medium: str = PICTURES


COLLECTIONS = {
    "drawings": Collection("Emoji and colour icons", 64, "drawings"),
    "large-drawings": Collection("Large emoji and colour icons", 256, "drawings"),
    "emoji": Collection("Emoji", 64, "emoji"),
    "emoji-nine": Collection("Emoji in nine styles", 64, "emoji"),
    "pixel-faces": Collection("Pixel faces", 32, "portraits"),
    "open-peeps": Collection("Open peeps", 64, "portraits"),
    "fashion-mnist": Collection("Fashion-MNIST", 32, "fashion", needs_apt=True),
    "clip-art": Collection("Clip art", 64, "clipart", needs_apt=True),
    "stamps": Collection("Stamps", 64, "stamps", needs_apt=True),
    "paintings": Collection("Paintings", 64, "paintings", needs_apt=True),
    "art": Collection("Paintings and large drawings", 256, "paintings", needs_apt=True),
    "verse": Collection("Chinese verse", 0, "verse", medium=TEXTS),
    "plays": Collection("English plays", 0, "plays", medium=TEXTS),
    "chorales": Collection("Chorales in four voices", 0, "music", medium=MUSIC),
    "tunes": Collection("Tunes by kind", 0, "music", medium=MUSIC),
}


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Build the prepared collection `name` in `folder`; returns its card.

    `check_cancelled` is called every now and then and may raise, to leave. Raises FetchError.
    """
    module = importlib.import_module(f"app.datasets.collections.{COLLECTIONS[name].builder}")
    return dict(module.build(name, folder, cache, check_cancelled))
