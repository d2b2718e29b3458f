"""Opens a prepared collection, whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path

from models.contract.values import TEXTS
from models.data.pictures import Collection, open_collection
from models.data.texts import Texts, open_texts

Prepared = Collection | Texts


def open_prepared(folder: Path) -> Prepared:
    """Raises FileNotFoundError when the folder holds no prepared collection."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    return open_texts(folder) if card.get("medium") == TEXTS else open_collection(folder)
