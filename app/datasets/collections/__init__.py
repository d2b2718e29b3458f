"""Starter collections, built from public packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLLECTIONS = {  # side of the pictures, in pixels
    "emoji": 64,
    "emoji-nine": 64,
    "pixel-faces": 32,
    "open-peeps": 64,
    "fashion-mnist": 32,
    "clip-art": 64,
    "stamps": 64,
    "paintings": 64,
}
BUILDERS = {
    "emoji": "emoji",
    "emoji-nine": "emoji",
    "pixel-faces": "portraits",
    "open-peeps": "portraits",
    "fashion-mnist": "fashion",
    "clip-art": "clipart",
    "stamps": "stamps",
    "paintings": "paintings",
}


def build(name: str, folder: Path, cache: Path, look: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Build the prepared collection `name` in `folder`; returns its card.

    `look` is called every now and then and may raise, to leave. Raises FetchError.
    """
    module = importlib.import_module(f"app.datasets.collections.{BUILDERS[name]}")
    return dict(module.build(name, folder, cache, look))
