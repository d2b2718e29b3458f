"""Starter collections, built from public packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLLECTIONS = {"emoji": 64, "pixel-faces": 32, "open-peeps": 64}  # side of the pictures, in pixels
BUILDERS = {"emoji": "emoji", "pixel-faces": "portraits", "open-peeps": "portraits"}


def build(name: str, folder: Path, cache: Path, look: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Build the prepared collection `name` in `folder`; returns its card.

    `look` is called every now and then and may raise, to leave. Raises FetchError.
    """
    module = importlib.import_module(f"app.datasets.collections.{BUILDERS[name]}")
    return dict(module.build(name, folder, cache, look))
