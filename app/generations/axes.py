"""What may differ from one cell of a grid to the next, with values to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.web.forms import Field
from models.contract.tasks import Input, Task
from models.contract.values import TEXTS

PROPOSED, MOST_CHOICES = 4, 24
WIDGETS = {"prompt", "passage", "text", "integer", "number", "choice", "boolean"}


@dataclass(frozen=True)
class AxisField:
    """`kind` is how its values are read: number, boolean, text, or role for what is given to the task."""

    name: str
    title: str
    kind: str
    values: tuple[Any, ...] = ()


def axes(task: Task, fields: list[Field]) -> list[AxisField]:
    """Roles first. Masks belong to one picture alone, as what is painted does; a cell has one work."""
    roles = [AxisField(each.role, each.title, "role") for each in task.inputs if is_apart(each)]
    return [*roles, *(of_field(each) for each in fields if each.widget in WIDGETS and each.name != "count")]


def is_apart(given: Input) -> bool:
    """Whether one of them is enough, as each comes."""
    return given.least <= 1 and not given.over and not given.painted and given.medium != TEXTS


def of_field(field: Field) -> AxisField:
    if field.widget == "boolean":
        return AxisField(field.name, field.title, "boolean", (False, True))
    if field.widget == "choice":
        first = field.choices[0] if field.choices else ""
        kind = "boolean" if isinstance(first, bool) else "text" if isinstance(first, str) else "number"
        return AxisField(field.name, field.title, kind, field.choices[:MOST_CHOICES])
    if field.widget in ("prompt", "passage", "text"):
        return AxisField(field.name, field.title, "text")
    return AxisField(field.name, field.title, "number", evenly(field))


def evenly(field: Field) -> tuple[float, ...]:
    """From its least to its most value; seeds are as good one as another."""
    if field.name == "seed":
        return tuple(range(1, PROPOSED + 1))
    most = field.maximum if field.most is None else field.most
    if field.minimum is None or most is None:
        return ()
    step = field.step or (most - field.minimum) / 100
    found = (field.minimum + (most - field.minimum) * i / (PROPOSED - 1) for i in range(PROPOSED))
    return tuple(dict.fromkeys(rounded(value, field.minimum, step) for value in found))


def rounded(value: float, least: float, step: float) -> float:
    on_step = round(least + round((value - least) / step) * step, 6)
    return int(on_step) if on_step == int(on_step) else on_step
