"""Reads a prepared collection of texts or music: one JSON line an item, and what else is kept beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.contract.values import MUSIC, Note, Score
from models.data.pictures import Indices, Unsuitable


@dataclass
class Items:
    """`items[i]` has `id` and `split`, and what its medium has."""

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
        """What is kept beside the items. Raises Unsuitable."""
        try:
            return (self.folder / name).read_text("utf-8")
        except FileNotFoundError as error:
            raise Unsuitable("the collection has no {name}", name=name) from error


class Texts(Items):
    """Items have a `text` and, where they are known, `title`, `author` and `form`."""


class Scores(Items):
    """Items have `notes` and `metre` and, where it is known, what else a `Score` has, and their `form`."""

    def score(self, index: int) -> Score:
        item = self.items[index]
        return Score(
            [Note(*note) for note in item["notes"]],
            item.get("tempo", 120.0),
            metre=tuple(item["metre"]),
            pickup=item.get("pickup", 0.0),
            title=item.get("title", ""),
            phrase_ends=item.get("phrase_ends", []),
        )


def open_items(folder: Path) -> Texts | Scores:
    """Raises FileNotFoundError when the folder holds no prepared collection."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    lines = (folder / "items.jsonl").read_text("utf-8").split("\n")
    kind = Scores if card.get("medium") == MUSIC else Texts
    return kind(folder, [json.loads(line) for line in lines if line], card)
