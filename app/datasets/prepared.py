"""The prepared form of a collection: a memory-mapped uint8 array of pictures, one JSON line an item, and a card."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = 1


@dataclass
class Item:
    """One picture of a collection. `split` is `train`, or names what it is held out for."""

    id: str
    concept: str
    group: str
    style: str
    split: str
    label: str
    label_zh: str
    captions: list[str]
    mirrorable: bool = False
    recoloured: bool = False  # a variation made by us, left out of what is measured


def write_prepared(
    folder: Path, items: Iterable[tuple[Item, npt.NDArray[np.uint8]]], card: dict[str, Any]
) -> dict[str, Any]:
    """Write `images.npy` (N, H, W, 3), `items.jsonl` and `card.json`; the folder appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        pictures, splits = [], Counter[str]()
        with (temporary / "items.jsonl").open("w", encoding="utf-8") as lines:
            for item, pixels in items:
                pictures.append(pixels)
                splits[item.split] += 1
                lines.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
        if not pictures:
            raise ValueError("the collection is empty")
        np.save(temporary / "images.npy", np.stack(pictures))
        digest = hashlib.sha256()
        for name in ("images.npy", "items.jsonl"):
            digest.update((temporary / name).read_bytes())
        card = {
            "format": FORMAT,
            **card,
            "count": len(pictures),
            "size": pictures[0].shape[0],
            "splits": dict(splits),
            "version": digest.hexdigest(),
        }
        (temporary / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1), "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card
