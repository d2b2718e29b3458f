"""Opens a prepared collection, whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path

from models.contract.values import PICTURES
from models.data.items import Scores, Texts, open_items
from models.data.pictures import Collection, open_collection

Prepared = Collection | Texts | Scores


def open_prepared(folder: Path) -> Prepared:
    """Raises FileNotFoundError when the folder holds no prepared collection."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    return open_collection(folder) if card.get("medium", PICTURES) == PICTURES else open_items(folder)
