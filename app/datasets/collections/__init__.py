"""Starter collections, built from public packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pictures:
    """A collection of pictures whose sides have `size` pixels, and the module here that builds it."""

    title: str
    size: int
    builder: str
    needs_apt: bool = False  # its package is one of Debian


COLLECTIONS = {
    "drawings": Pictures("Emoji and colour icons", 64, "drawings"),
    "large-drawings": Pictures("Large emoji and colour icons", 256, "drawings"),
    "emoji": Pictures("Emoji", 64, "emoji"),
    "emoji-nine": Pictures("Emoji in nine styles", 64, "emoji"),
    "pixel-faces": Pictures("Pixel faces", 32, "portraits"),
    "open-peeps": Pictures("Open peeps", 64, "portraits"),
    "fashion-mnist": Pictures("Fashion-MNIST", 32, "fashion", needs_apt=True),
    "clip-art": Pictures("Clip art", 64, "clipart", needs_apt=True),
    "stamps": Pictures("Stamps", 64, "stamps", needs_apt=True),
    "paintings": Pictures("Paintings", 64, "paintings", needs_apt=True),
}


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Build the prepared collection `name` in `folder`; returns its card.

    `check_cancelled` is called every now and then and may raise, to leave. Raises FetchError.
    """
    module = importlib.import_module(f"app.datasets.collections.{COLLECTIONS[name].builder}")
    return dict(module.build(name, folder, cache, check_cancelled))
