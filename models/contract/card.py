"""Checkpoints on disk and what their cards must say. Torch-free."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.contract.message import MessageError

FORMAT, OLDEST = 2, 1
WEIGHTS = "model.safetensors"
AUTOENCODER = "autoencoder"  # a role
NAME, LONGEST_NAME = "^[a-z0-9]+(-[a-z0-9]+)*$", 60  # of checkpoints, families and tasks
MAX_CARD = 1 << 20  # bytes
ZOO = Path(__file__).parents[1] / "zoo"


class CheckpointError(MessageError):
    """The checkpoint is not one of ours, or is broken; the message says how."""


class Style(BaseModel):
    """A way to draw that a prompt may end with."""

    label: str
    label_zh: str
    en: str
    zh: str


class Example(BaseModel):
    """A picture beside the weights that may be given to the model in a role, to begin with."""

    role: str
    file: str = Field(pattern=r"^[a-z0-9-]+\.(jpg|png|webp)$")
    title: str = ""


class BuiltOn(BaseModel):
    """Another checkpoint that this one draws with, and as what."""

    role: str
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

    format: int = Field(ge=OLDEST, le=FORMAT)
    family: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # of the manifest; in the first format, of the weights
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
    builds_on: list[BuiltOn] = []
    same_latents_as: list[str] = []
    directions: list[str] = []
    examples: list[Example] = []
    preview: bool = False


def problem(card: object) -> str | None:
    """What is wrong with a card, in one line; None when it is one of ours."""
    try:
        Card.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the card'}: {first['msg']}"
    assert isinstance(card, dict)
    if card["format"] != OLDEST and manifest_sha256(card.get("files", {})) != card["sha256"]:
        return "sha256: it is not that of its files"
    return None


def find(name: str, beside: Path = ZOO) -> Path:
    """Folder of the checkpoint `name`, in `beside` or in the zoo. Raises CheckpointError when there is none."""
    for place in (beside, ZOO):
        if (place / name / "card.json").is_file():
            return place / name
    raise CheckpointError("the checkpoint {name} is missing", name=name)


def read_card(folder: Path) -> dict[str, Any]:
    """Raises CheckpointError when there is no card of a format that this version reads."""
    try:
        if (folder / "card.json").stat().st_size > MAX_CARD:
            raise CheckpointError("{name}: the card is too large", name=folder.name)
        card = json.loads((folder / "card.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError("{name}: there is no card.json beside the weights", name=folder.name) from error
    except OSError as error:
        raise CheckpointError(
            "{name}: the card cannot be read ({reason})", name=folder.name, reason=error.strerror
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("{name}: the card is not JSON", name=folder.name) from error
    if not isinstance(card, dict) or card.get("format") not in range(OLDEST, FORMAT + 1):
        raise CheckpointError(
            "{name}: the card's format is not {oldest} to {newest}", name=folder.name, oldest=OLDEST, newest=FORMAT
        )
    card = as_now(card)
    if wrong := problem(card):
        raise CheckpointError("{name}: the card is not valid ({reason})", name=folder.name, reason=wrong)
    return card


def as_now(card: dict[str, Any]) -> dict[str, Any]:
    """A card of the first format says what this one says: `files` are all files, what is built on has a role."""
    if card["format"] != OLDEST or not isinstance(card.get("files", {}), dict):
        return card
    card = {**card, "files": {WEIGHTS: card.get("sha256"), **card.get("files", {})}}
    if (beneath_it := card.pop(AUTOENCODER, None)) is not None and "builds_on" not in card:
        card["builds_on"] = [{"role": AUTOENCODER, **beneath_it}] if isinstance(beneath_it, dict) else beneath_it
    return card


def beneath(card: dict[str, Any], role: str) -> dict[str, str] | None:
    """Name and SHA-256 of the checkpoint that this one builds on in a role."""
    return next((part for part in card.get("builds_on", []) if part["role"] == role), None)


def weights_of(card: dict[str, Any]) -> list[str]:
    """Names of its files that hold weights."""
    return [name for name in card["files"] if name.endswith(".safetensors")]


def write_card(folder: Path, card: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """Put a card beside its files, whose hashes by name these are; returns it with them and with its own hash."""
    card = {**card, "format": FORMAT, "files": files, "sha256": manifest_sha256(files)}
    (folder / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return card


def manifest_sha256(files: dict[str, str]) -> str:
    """What a checkpoint is known by: one hash over the names and hashes of all of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
