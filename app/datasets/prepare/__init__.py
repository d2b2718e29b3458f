"""From a dataset to the prepared form that training reads: a module a medium. Apart from the service: it needs numpy,
which the web process does without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.datasets.prepare import pictures, scores, texts
from app.datasets.prepare.snapshot import Snapshot, snapshot
from app.errors import Conflict, Invalid
from models.contract.message import Message
from models.contract.preparation import Preparation, SquarePreparation
from models.contract.values import MUSIC, PICTURES, TEXTS

__all__ = ["Snapshot", "prepare", "snapshot", "write"]

WRITERS: dict[str, Callable[..., dict[str, Any]]] = {
    PICTURES: pictures.write,
    TEXTS: texts.write,
    MUSIC: scores.write,
}


def write(
    folder: Path, taken: Snapshot, size: int, wanted: Preparation, check_cancelled: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Write what a family learns from into a folder that appears whole or not at all; returns its card.

    `size` is of pictures, in pixels. `check_cancelled` is called now and then and may raise. Raises Conflict when
    a work is gone, Invalid for a medium that is not prepared yet.
    """
    if taken.medium not in WRITERS:
        raise Invalid(
            "No family trains on {medium} yet; the dataset can be kept, viewed and exported",
            medium=Message(taken.medium),
        )
    return WRITERS[taken.medium](folder, taken, size, wanted, check_cancelled)


def prepare(
    dataset_id: str, collections: Path, size: int, wanted: Preparation | None = None
) -> tuple[Path, dict[str, Any]]:
    """A dataset as a collection under its own name; returns (folder below `collections`, card).

    Raises NotFound; Invalid when it is empty; Conflict when another collection has the folder.
    """
    taken = snapshot(dataset_id)
    folder = collections / slug(taken.name, taken.dataset)
    if folder.exists() and owner(folder) != taken.dataset:
        raise Conflict("Another collection is at {folder}; rename the dataset", folder=folder)
    return folder, write(folder, taken, size, wanted or SquarePreparation())


def owner(folder: Path) -> str | None:
    """The dataset that a prepared collection was made of; None for a starter collection."""
    try:
        found: str | None = json.loads((folder / "card.json").read_text("utf-8")).get("dataset")
    except (OSError, ValueError):
        return None
    return found


def slug(name: str, otherwise: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-_").lower()[:40] or otherwise
