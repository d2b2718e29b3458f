"""Pictures of a dataset as squares, or in sizes near their proportions, with what is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from app.datasets.captions import tags_of
from app.datasets.prepare.snapshot import HELD_OUT_EVERY, Row, Snapshot, held_out, stored
from app.datasets.prepared import Item, write_prepared
from app.media.pixels import on_white
from models.contract.preparation import Fit, PicturePreparation, size_near

PATCHES = 2000  # in all, at least


def write(
    folder: Path,
    taken: Snapshot,
    size: int,
    wanted: PicturePreparation,
    check_cancelled: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write the pictures as squares of `size` pixels, or with as many at most; returns the card.

    Every 20th picture in the order of content is held out, with all other drawings of the same thing; see
    `held_out`. `check_cancelled` is called before each and may raise. Raises Conflict when a picture is
    gone.
    """
    card = {"name": folder.name, "title": taken.name, "dataset": taken.dataset, "dataset_version": taken.version}
    made = items(taken.rows, size, wanted.fit, wanted.mirror, check_cancelled)
    return write_prepared(folder, made, {**card, "fit": wanted.fit})


def items(
    rows: list[Row], size: int, fit: Fit, mirror: bool, check_cancelled: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Of each picture one; with `patches` many: few large pictures, or one painting, are then enough."""
    if fit == "patches":
        yield from patches(rows, size, mirror, check_cancelled)
        return
    apart = held_out(rows)
    for row in rows:
        check_cancelled()
        split = "held_out" if row.concept in apart else "train"
        item = described(row, row.digest, row.concept, split, mirror)
        if fit == "keep":
            pixels = kept(stored(row.digest), size)
            item.height, item.width, _ = pixels.shape
            yield item, at_the_beginning(pixels, size)
        else:
            yield item, square(stored(row.digest), size, fit)


def described(row: Row, name: str, concept: str, split: str, mirror: bool) -> Item:
    caption = row.caption
    return Item(name, concept, concept, row.style, split, caption, "", [caption], mirror, tags=tags_of(caption))


def patches(
    rows: list[Row], size: int, mirror: bool, check_cancelled: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Windows at chance places, from the size that is wanted up to the whole picture; the same in every build.

    Of some pictures every 20th is held out whole, at least one; of a single one the rightmost sixth, which no window of
    the training touches. No two windows show the same thing, also of drawings of one concept.
    """
    count = max(1, -(-PATCHES // len(rows)))
    kept = held_out(rows)
    for row in rows:
        picture = on_white(stored(row.digest))
        width, height = picture.size
        if kept:
            parts = [("held_out" if row.concept in kept else "train", (0, 0, width, height), count)]
        else:
            cut = width - max(1, width // 6)
            rest = max(1, count // HELD_OUT_EVERY)
            parts = [("train", (0, 0, cut, height), count - rest), ("held_out", (cut, 0, width, height), rest)]
        random = np.random.default_rng(int(row.digest[:16], 16))
        for split, box, windows in parts:
            part = picture.crop(box)
            for i in range(windows):
                check_cancelled()
                name = f"{row.digest}/{split}/{i}"
                yield described(row, name, name, split, mirror), window(part, size, random)


def window(picture: Image.Image, size: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(size, size, 3) of a square at a chance place, of any side between `size` and the picture's smaller one."""
    largest = min(picture.size)
    side = round(np.exp(random.uniform(np.log(min(size, largest)), np.log(largest))))
    left, top = (int(random.integers(0, length - side + 1)) for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS), dtype=np.uint8)


def kept(content: bytes, size: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3): transparency on white, what goes beyond the nearest size cut off evenly."""
    flat = on_white(content)
    made = ImageOps.fit(flat, size_near(*flat.size, size), Image.Resampling.LANCZOS)
    return np.asarray(made, dtype=np.uint8)


def at_the_beginning(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """(size, size, 3), which has room for the pixels of any of these sizes: all rows of a collection are as long."""
    made = np.zeros((size, size, 3), np.uint8)
    made.reshape(-1)[: pixels.size] = pixels.reshape(-1)
    return made


def square(content: bytes, size: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """(size, size, 3): transparency on white, the middle cut out or white added around."""
    flat = on_white(content)
    method = Image.Resampling.LANCZOS
    made = (
        ImageOps.fit(flat, (size, size), method)
        if fit == "crop"
        else ImageOps.pad(flat, (size, size), method, color="white")
    )
    return np.asarray(made, dtype=np.uint8)
