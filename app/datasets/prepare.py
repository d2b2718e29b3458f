"""From a dataset to the prepared form that training reads. Apart from the service: it needs numpy, the web does not."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from sqlalchemy import select

from app.database import session_scope
from app.datasets import service
from app.datasets.prepared import Item, write_prepared
from app.datasets.tables import DatasetItem
from app.errors import Conflict, Invalid
from app.storage import get_storage

Fit = Literal["crop", "pad"]
HELD_OUT_EVERY = 20


def prepare(
    dataset_id: str, collections: Path, size: int, fit: Fit = "crop", mirror: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Write the dataset's pictures as squares of `size` pixels; returns (folder below `collections`, card).

    Every 20th picture in the order of content is held out, at least one where there are two.
    Raises NotFound; Invalid when it is empty; Conflict when another collection has the folder.
    """
    with session_scope(writing=False) as session:
        dataset = service.get(session, dataset_id)
        rows = list(session.execute(service.accepted(select(DatasetItem.sha256, DatasetItem.caption), dataset_id)))
        version = service.version(session, dataset_id)
    if not rows:
        raise Invalid("The dataset has no pictures yet")
    folder = collections / slug(dataset.name, dataset.id)
    if folder.exists() and owner(folder) != dataset.id:
        raise Conflict(f"Another collection is at {folder}; rename the dataset")
    card = write_prepared(
        folder,
        items([(digest, caption) for digest, caption in rows if digest], size, fit, mirror),
        {"name": folder.name, "title": dataset.name, "dataset": dataset.id, "dataset_version": version, "fit": fit},
    )
    return folder, card


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
    rows: list[tuple[str, str]], size: int, fit: Fit, mirror: bool
) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    every = min(HELD_OUT_EVERY, len(rows))
    for number, (digest, caption) in enumerate(rows):
        split = "held_out" if number % every == every - 1 and len(rows) > 1 else "train"
        item = Item(digest, digest, digest, "", split, caption, "", [caption], mirrorable=mirror)
        try:
            content = get_storage().get(digest)
        except FileNotFoundError as error:
            raise Conflict("A picture was deleted meanwhile; prepare the dataset again") from error
        yield item, square(content, size, fit)


def square(content: bytes, size: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """(size, size, 3): transparency on white, the middle cut out or white added around."""
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A"))
    method = Image.Resampling.LANCZOS
    made = (
        ImageOps.fit(flat, (size, size), method)
        if fit == "crop"
        else ImageOps.pad(flat, (size, size), method, color="white")
    )
    return np.asarray(made, dtype=np.uint8)
