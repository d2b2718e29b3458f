"""The last step of a request for pictures, where it is wanted: another model makes them larger before they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from app.checkpoints import service as checkpoints
from app.checkpoints.service import Checkpoint
from app.errors import Invalid, NotFound
from app.generations.schemas import Enlarging
from models.contract.message import Message
from models.contract.tasks import Task
from models.contract.upscaling import IMAGE_UPSCALING, LARGEST, cost_of_size
from models.contract.values import PICTURES

USUAL = 256  # pixels of a side that the create page proposes
OFFERED = (USUAL, 512, 1024, 2048, LARGEST)


def offered(task: Task, checkpoint: Checkpoint, asked: Enlarging | None) -> list[int]:
    """Sizes to choose from; none where nothing can be enlarged."""
    if not is_enlargeable(task) or checkpoints.model_for_task(IMAGE_UPSCALING, checkpoint.name) is None:
        return []
    return sorted({*OFFERED, *([asked.size] if asked else [])})


def is_enlargeable(task: Task) -> bool:
    return task.gives == PICTURES and task.name != IMAGE_UPSCALING


def resolved(task: Task, checkpoint: Checkpoint, wanted: Enlarging | None) -> dict[str, Any]:
    """As a job keeps it: with the model that does it, pinned by its hash, and the cost of a work. Raises Invalid."""
    if wanted is None:
        return {}
    if not is_enlargeable(task):
        refuse("size", Message("What this task gives cannot be enlarged in the same request"))
    name = wanted.model or checkpoints.model_for_task(IMAGE_UPSCALING, checkpoint.name)
    if name is None:
        refuse("size", Message("There is no model here that enlarges pictures"))
    try:
        found = checkpoints.get(name)
        found.task(IMAGE_UPSCALING)
    except NotFound as error:
        refuse("model", error.message)
    return {
        "size": wanted.size,
        "pixel_art": wanted.pixel_art,
        "model": found.name,
        "checkpoint_sha256": found.sha256,
        "cost": 0 if wanted.pixel_art else cost_of_size(wanted.size),
    }


def asked(kept: dict[str, Any]) -> Enlarging | None:
    """As the request had it."""
    return Enlarging(size=kept["size"], model=kept["model"], pixel_art=kept["pixel_art"]) if kept else None


def said(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What a work tells of it."""
    return {name: value for name, value in kept.items() if name != "cost"}


def proposed(task: Task, checkpoint: Checkpoint) -> Enlarging | None:
    """What the create page begins with where something can be enlarged. A task that keeps parts of what it is given
    keeps its size too.
    """
    if task.keeps:
        return None
    return Enlarging(size=USUAL, pixel_art=bool(checkpoint.card.get("pixel_art")))


def refuse(field: str, why: Message) -> NoReturn:
    raise Invalid(why, errors=[{"loc": ["body", "enlarge", field], "msg": why}])
