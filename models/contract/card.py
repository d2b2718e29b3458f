"""Checkpoints on disk and what their cards must say. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT = 1
NAME, LONGEST_NAME = "^[a-z0-9]+(-[a-z0-9]+)*$", 60  # of checkpoints, families and tasks
MAX_CARD = 1 << 20  # bytes
ZOO = Path(__file__).parents[1] / "zoo"


class CheckpointError(Exception):
    """The checkpoint is not one of ours, or is broken; the message says how."""


class Style(BaseModel):
    """A way to draw that a prompt may end with."""

    label: str
    label_zh: str
    en: str
    zh: str


class BuiltOn(BaseModel):
    """Another checkpoint that this one draws with."""

    name: str
    sha256: str


class Origin(BaseModel):
    """A checkpoint that this one was trained on from."""

    sha256: str
    steps: int = Field(0, ge=0)
    seconds: float = Field(0, ge=0, allow_inf_nan=False)
    started_from: Origin | None = None


class Card(BaseModel):
    """The fields that others rely on; a card holds more besides."""

    model_config = ConfigDict(extra="allow", strict=True)

    format: int = Field(ge=FORMAT, le=FORMAT)
    family: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parameters: int = Field(ge=1)
    config: dict[str, Any] = {}
    files: dict[str, str] = {}
    figures: dict[str, Any] = {}
    title: str = ""
    description: str = ""
    description_zh: str = ""
    license: str = ""
    trained_on: str = ""
    collection: str = ""
    lacks: str = ""
    lacks_zh: str = ""
    styles: list[Style] = []
    labels: list[str] = []
    steps: int = Field(0, ge=0)
    seconds: float = Field(0, ge=0, allow_inf_nan=False)
    training: dict[str, Any] = {}
    started_from: Origin | None = None
    autoencoder: BuiltOn | None = None
    same_latents_as: list[str] = []
    directions: list[str] = []
    preview: bool = False


def problem(card: object) -> str | None:
    """What is wrong with a card, in one line; None when it is one of ours."""
    try:
        Card.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the card'}: {first['msg']}"
    return None


def find(name: str, beside: Path = ZOO) -> Path:
    """Folder of the checkpoint `name`, in `beside` or in the zoo. Raises CheckpointError when there is none."""
    for place in (beside, ZOO):
        if (place / name / "card.json").is_file():
            return place / name
    raise CheckpointError(f"the checkpoint {name} is missing")


def read_card(folder: Path) -> dict[str, Any]:
    """Raises CheckpointError when there is no card of a format that this version reads."""
    try:
        if (folder / "card.json").stat().st_size > MAX_CARD:
            raise CheckpointError(f"{folder.name}: the card is larger than a card is")
        card = json.loads((folder / "card.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder.name}: there is no card.json beside the weights") from error
    except OSError as error:
        raise CheckpointError(f"{folder.name}: the card cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder.name}: the card is not JSON") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{folder.name}: the card's format is not {FORMAT}")
    if wrong := problem(card):
        raise CheckpointError(f"{folder.name}: the card is not valid ({wrong})")
    return card
