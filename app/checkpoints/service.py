"""The catalogue of models: checkpoints in the zoo and in the data folder, read from their cards. Torch-free."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from app.errors import NotFound
from app.settings import ROOT, get_settings
from models.base import Family, Task
from models.card import problem
from models.registry import families

log = structlog.get_logger()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can draw. `sha256` is of its weights."""

    name: str
    folder: Path
    family: Family
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        return str(self.card["sha256"])

    @property
    def title(self) -> str:
        return str(self.card.get("title", self.name))

    def task(self, name: str) -> Task:
        found = self.family.task(name)
        if found is None:
            raise NotFound(f"The model {self.name} has no task {name}")
        return found


def folders() -> list[Path]:
    """Where checkpoints are looked for; the first with a name wins."""
    return [get_settings().data / "checkpoints", ROOT / "models" / "zoo"]


_cards: dict[Path, tuple[int, dict[str, Any]]] = {}


def read(folder: Path) -> dict[str, Any] | None:
    """A card, read again only when its file has changed; None for a broken one."""
    path = folder / "card.json"
    try:
        changed = path.stat().st_mtime_ns
        if path not in _cards or _cards[path][0] != changed:
            card = json.loads(path.read_text("utf-8"))
            if wrong := problem(card):
                raise ValueError(wrong)
            _cards[path] = (changed, card)
        return _cards[path][1]
    except (OSError, ValueError, AttributeError) as error:
        log.warning("card_unreadable", folder=str(folder), error=str(error))
        return None


def catalogue() -> dict[str, Checkpoint]:
    """Every checkpoint whose family offers a task, by name."""
    found: dict[str, Checkpoint] = {}
    for place in folders():
        for folder in sorted(place.glob("*/")) if place.is_dir() else []:
            card = read(folder) if (folder / "card.json").exists() else None
            family = families().get(card["family"]) if card else None
            if card and family and family.tasks:
                found.setdefault(folder.name, Checkpoint(folder.name, folder, family, card))
    return found


def get(name: str) -> Checkpoint:
    found = catalogue().get(name)
    if found is None:
        raise NotFound(f"There is no model {name}")
    return found
