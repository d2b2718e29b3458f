"""Starter collections: each module builds one from public packages."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

COLLECTIONS = {"emoji": 64}  # side of the pictures, in pixels


def build(name: str, folder: Path, cache: Path) -> dict[str, Any]:
    """Build the prepared collection `name` in `folder`; returns its card. Raises FetchError."""
    module = importlib.import_module(f"app.datasets.collections.{name}")
    return dict(module.build(folder, cache))
