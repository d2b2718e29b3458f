"""What a run is to do: a recipe in TOML, with sizes, or one that the studio wrote, in JSON. Torch-free."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.contract.files import write_atomically
from models.contract.fine_tuning import as_called_now

MAX_STEPS, MAX_MINUTES = 10_000_000, 60 * 24 * 30


class Recipe(BaseModel):
    """A family, a prepared collection (a name, or a path), the budget and the family's own parameters."""

    model_config = ConfigDict(extra="forbid")

    family: str
    collection: str
    steps: int = Field(ge=1, le=MAX_STEPS)
    minutes: float | None = Field(None, gt=0, le=MAX_MINUTES, allow_inf_nan=False)
    patience: int | None = Field(None, ge=1, le=1000)
    seed: int = Field(0, ge=0, le=2**53 - 1)
    evaluate: bool = True  # measure what it has trained, once it is done
    quantize: Literal["int8"] | None = None  # how the weights are stored; else in float16
    params: dict[str, Any] = {}
    card: dict[str, Any] = {}


def read_recipe(path: Path, size: str = "cpu") -> Recipe:
    """A recipe file; in TOML its `[size.<size>]` table is merged over the common part.

    Raises FileNotFoundError, KeyError for an unknown size, ValueError when it is not valid.
    """
    if path.suffix == ".json":
        return Recipe.model_validate_json(path.read_bytes())
    recipe = tomllib.loads(path.read_text("utf-8"))
    own = recipe.pop("size")[size]
    return Recipe.model_validate({**recipe, **own, "params": {**recipe.get("params", {}), **own.get("params", {})}})


def completed(kept: dict[str, Any], training: type[BaseModel]) -> dict[str, Any]:
    """What an earlier version kept; parameters of `training` that did not exist then have their defaults."""
    kept = as_called_now(kept, training)
    own = {name: value for name, value in kept.items() if name in training.model_fields}
    with suppress(ValidationError):
        return kept | training.model_validate(own).model_dump(mode="json")
    return kept


def remember(path: Path, settings: dict[str, Any], training: type[BaseModel] | None = None) -> list[str]:
    """Keep a run's settings beside it; names of those that differ from what an earlier attempt kept.

    Parameters of `training` that did not exist then count as their defaults.
    """
    if path.exists():
        kept = json.loads(path.read_text("utf-8"))
        if training:
            kept = completed(kept, training)
        return sorted(key for key in {*kept, *settings} if kept.get(key) != settings.get(key))
    write_atomically(path, json.dumps(settings, ensure_ascii=False, indent=1).encode(), 0o644)
    return []
