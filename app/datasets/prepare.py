"""From a dataset to the prepared form that training reads. Apart from the service: it needs numpy, the web does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from sqlalchemy import select

from app.database import session_scope
from app.datasets import service
from app.datasets.captions import tags_of
from app.datasets.labels import labelled
from app.datasets.prepared import Item, write_prepared
from app.datasets.tables import DatasetItem
from app.errors import Conflict, Invalid
from app.media.pixels import on_white
from app.storage import get_storage

Fit = Literal["crop", "pad", "patches"]
HELD_OUT_EVERY, FEWEST_HELD_OUT = 20, 2
PATCHES = 2000  # in all, at least


@dataclass(frozen=True)
class Row:
    """One picture of a dataset. `concept` is the same for drawings of one thing in several styles."""

    digest: str
    caption: str
    style: str
    concept: str


@dataclass(frozen=True)
class Snapshot:
    """A dataset as it is at one moment: its pictures in the order of content."""

    dataset: str
    name: str
    version: str
    rows: list[Row]


def snapshot(dataset_id: str) -> Snapshot:
    """Raises NotFound; Invalid when the dataset is empty."""
    with session_scope(writing=False) as session:
        dataset = service.get(session, dataset_id)
        if dataset.kind != "pictures":
            raise Invalid(f"No family trains on {dataset.kind} yet; the dataset can be kept, looked at and exported")
        columns = select(
            DatasetItem.sha256, DatasetItem.caption, DatasetItem.name, DatasetItem.id, DatasetItem.similar_to
        )
        kept = [row for row in session.execute(service.accepted(columns, dataset_id)) if row.sha256]
        version = service.version(session, dataset_id)
    if not kept:
        raise Invalid("The dataset has no pictures yet")
    styles, concepts = labelled({row.sha256: row.name for row in kept})
    digests = {row.id: row.sha256 for row in kept}
    for row in kept:
        if row.similar_to and concepts[row.sha256] == row.sha256:  # copies of one picture are on one side of the split
            earliest = digests.get(row.similar_to, row.sha256)
            concepts[row.sha256] = concepts[earliest]
    rows = [Row(row.sha256, row.caption, styles[row.sha256], concepts[row.sha256]) for row in kept]
    return Snapshot(dataset.id, dataset.name, version, rows)


def write(
    folder: Path, taken: Snapshot, size: int, fit: Fit, mirror: bool, look: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Write the pictures as squares of `size` pixels; returns the card.

    Every 20th picture in the order of content is held out, with all other drawings of the same thing; see
    `kept_from_training`. `look` is called before each and may raise. Raises Conflict when a picture is
    gone.
    """
    card = {"name": folder.name, "title": taken.name, "dataset": taken.dataset, "dataset_version": taken.version}
    return write_prepared(folder, items(taken.rows, size, fit, mirror, look), {**card, "fit": fit})


def prepare(
    dataset_id: str, collections: Path, size: int, fit: Fit = "crop", mirror: bool = False
) -> tuple[Path, dict[str, Any]]:
    """A dataset as a collection under its own name; returns (folder below `collections`, card).

    Raises NotFound; Invalid when it is empty; Conflict when another collection has the folder.
    """
    taken = snapshot(dataset_id)
    folder = collections / slug(taken.name, taken.dataset)
    if folder.exists() and owner(folder) != taken.dataset:
        raise Conflict(f"Another collection is at {folder}; rename the dataset")
    return folder, write(folder, taken, size, fit, mirror)


def owner(folder: Path) -> str | None:
    """The dataset that a prepared collection was made of; None for a starter collection."""
    try:
        found: str | None = json.loads((folder / "card.json").read_text("utf-8")).get("dataset")
    except (OSError, ValueError):
        return None
    return found


def slug(name: str, otherwise: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-_").lower()[:40] or otherwise


def items(
    rows: list[Row], size: int, fit: Fit, mirror: bool, look: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Squares of the pictures; with `patches` many of each: few large pictures, or one painting, are then enough."""
    if fit == "patches":
        yield from patches(rows, size, mirror, look)
        return
    held_out = kept_from_training(rows)
    for row in rows:
        look()
        split = "held_out" if row.concept in held_out else "train"
        yield described(row, row.digest, row.concept, split, mirror), square(stored(row.digest), size, fit)


def kept_from_training(rows: list[Row]) -> set[str]:
    """Every 20th concept; at least two, which a distance between sets needs, of ten or more, and one of two or more."""
    concepts = list(dict.fromkeys(row.concept for row in rows))
    fewest = FEWEST_HELD_OUT if len(concepts) >= 10 else 1
    every = min(HELD_OUT_EVERY, len(concepts) // fewest)
    return set(concepts[every - 1 :: every]) if len(concepts) > 1 else set()


def described(row: Row, name: str, concept: str, split: str, mirror: bool) -> Item:
    caption = row.caption
    return Item(name, concept, concept, row.style, split, caption, "", [caption], mirror, tags=tags_of(caption))


def patches(
    rows: list[Row], size: int, mirror: bool, look: Callable[[], None]
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Windows at chance places, from the size that is wanted up to the whole picture; the same in every build.

    Of some pictures every 20th is held out whole, at least one; of a single one the rightmost sixth, which no window of
    the training touches. No two windows show the same thing, also of drawings of one concept.
    """
    count = max(1, -(-PATCHES // len(rows)))
    kept = kept_from_training(rows)
    for row in rows:
        picture = on_white(stored(row.digest))
        width, height = picture.size
        if kept:
            parts = [("held_out" if row.concept in kept else "train", (0, 0, width, height), count)]
        else:
            cut = width - max(1, width // 6)
            held_out = max(1, count // HELD_OUT_EVERY)
            parts = [("train", (0, 0, cut, height), count - held_out), ("held_out", (cut, 0, width, height), held_out)]
        random = np.random.default_rng(int(row.digest[:16], 16))
        for split, box, windows in parts:
            part = picture.crop(box)
            for i in range(windows):
                look()
                name = f"{row.digest}/{split}/{i}"
                yield described(row, name, name, split, mirror), window(part, size, random)


def window(picture: Image.Image, size: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(size, size, 3) of a square at a chance place, of any side between `size` and the picture's smaller one."""
    largest = min(picture.size)
    side = round(np.exp(random.uniform(np.log(min(size, largest)), np.log(largest))))
    left, top = (int(random.integers(0, length - side + 1)) for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS), dtype=np.uint8)


def stored(digest: str) -> bytes:
    try:
        return get_storage().get(digest)
    except FileNotFoundError as error:
        raise Conflict("A picture was deleted meanwhile; prepare the dataset again") from error


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
