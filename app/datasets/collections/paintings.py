"""Twenty-two old masters and ukiyo-e, as windows at chance places of each: to learn how they are painted. `paintings`
are windows of 64 px; `art` are large ones, with large drawings.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.datasets.collections import drawings
from app.datasets.collections.masters import GCOMPRIS, paintings
from app.datasets.collections.parts import source
from app.datasets.prepare.pictures import window
from app.datasets.prepared import Item, write_prepared
from app.packages.debian import fetch_debian

SIZE, WINDOWS = 64, 150
LARGE, LARGE_WINDOWS = 256, 140
# Kept for judging what learnt from the others.
HELD_OUT = {"GreatWave", "MonaLisa", "gogh_auvert", "kandinky", "EjiriSuruga", "PieterBruegel"}


def items(
    package: Path, size: int, windows: int, check_cancelled: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Windows from `size` pixels up to the whole painting; six paintings are held out whole."""
    for name, title, picture in paintings(package):
        random = np.random.default_rng(zlib.crc32(name.encode()))
        split = "held_out" if name in HELD_OUT else "train"
        for number in range(windows):
            check_cancelled()
            item = Item(f"{name}/{number}", name, name, name, split, title, "", [title], mirrorable=True)
            yield item, window(picture, size, random)


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    package, sources = fetch_debian(GCOMPRIS, cache, check_cancelled), [source(GCOMPRIS)]
    if name == "paintings":
        card = {"name": name, "title": "Paintings", "sources": sources}
        return write_prepared(folder, items(package, SIZE, WINDOWS, check_cancelled), card)
    card = {
        "name": name,
        "title": "Paintings and large drawings",
        "sources": [*sources, *(source(package) for package in drawings.PACKAGES)],
        "not_redistributed": [name for name, _, _ in paintings(package)],  # styles: fetched by whoever wants them
    }
    found = chain(items(package, LARGE, LARGE_WINDOWS, check_cancelled), drawings.large_items(cache, check_cancelled))
    return write_prepared(folder, found, card)
