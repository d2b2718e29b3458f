"""Reads a prepared collection of texts for training: one JSON line a text, and what else is kept beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.data.pictures import Indices, Unsuitable


@dataclass
class Texts:
    """`items[i]` has `id`, `split`, `text` and, where they are known, `title`, `author` and `form`."""

    folder: Path
    items: list[dict[str, Any]]
    card: dict[str, Any]

    def indices(self, *splits: str) -> Indices:
        return np.array([i for i, item in enumerate(self.items) if item["split"] in splits], dtype=np.int64)

    def count(self, split: str) -> int:
        return len(self.indices(split))

    @property
    def held_out(self) -> list[str]:
        """The splits that are not trained on, by name."""
        return sorted({item["split"] for item in self.items} - {"train"})

    def file(self, name: str) -> str:
        """What is kept beside the texts. Raises Unsuitable."""
        try:
            return (self.folder / name).read_text("utf-8")
        except FileNotFoundError as error:
            raise Unsuitable("the collection has no {name}", name=name) from error


def open_texts(folder: Path) -> Texts:
    """Raises FileNotFoundError when the folder holds no prepared collection."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    lines = (folder / "items.jsonl").read_text("utf-8").split("\n")
    return Texts(folder, [json.loads(line) for line in lines if line], card)
