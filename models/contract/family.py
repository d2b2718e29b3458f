"""What a family of models declares about itself and where its code lives. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from models.contract.message import Message
from models.contract.preparation import Preparation, SquarePreparation
from models.contract.tasks import Task
from models.contract.values import PICTURES


@dataclass(frozen=True)
class Preset:
    """A named choice of training parameters and budget."""

    name: str
    title: str
    steps: int
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingCost:
    """What training takes: bytes that do not depend on the batch, bytes an item of a piece, items a second.

    `items_per_second` is measured with the default network on two CPU cores (see `models.training.gauge`); a studio's
    own runs say it better.
    """

    fixed_bytes: int
    item_bytes: int
    items_per_second: float


@dataclass(frozen=True)
class Family:
    """What a family learns from, what it does, and its modules, None where it has none: `sampler` with `load(folder,
    device)` and, where that takes much memory, `prove(folder)`, `loader` with the same for one that draws nothing by
    itself, `adopter` with `adopted(tensors)`, `said_of(config)`, `in_order(layers)` and `sheet(folder)`, which knows
    the weights of other programs, `trainer` with `train(params, data, run)`, `evaluator` with `evaluate(folder, data,
    published, effort)`.

    `tasks_of(card)` are those of its tasks that a checkpoint does, as its training made it; None: all of them. It
    `learns` from works of a medium, made ready by its `preparation`. `picture_size(params, card_of)` is the side of
    the pictures that it trains on; `card_of(name)` reads a checkpoint's card. `cost(params)` what its training takes,
    `cost_upon(cost, params, card_of)` where that depends on another checkpoint.
    `problem(params, card_of)` says what does not fit together, if anything. `supports_early_stopping(params)`: whether
    a held-out figure says how good a run is, so that it may end when that gets no better. `pairs`: it learns from
    drawings of one thing in several styles. `sheet` says what the sheets of a run show. Where it `economizes`, `load`
    of its sampler also takes an `economy`.
    """

    name: str
    title: str
    sheet: str = ""
    tasks: tuple[Task, ...] = ()
    tasks_of: Callable[[dict[str, Any]], tuple[Task, ...]] | None = None
    sampler: str | None = None
    adopter: str | None = None
    loader: str | None = None
    training: type[BaseModel] | None = None
    trainer: str | None = None
    evaluator: str | None = None
    presets: tuple[Preset, ...] = ()
    picture_size: Callable[[Any, Callable[[str], dict[str, Any]]], int] | None = None
    cost: Callable[[Any], TrainingCost] | None = None
    cost_upon: Callable[[TrainingCost, Any, Callable[[str], dict[str, Any]]], TrainingCost] | None = None
    problem: Callable[[Any, Callable[[str], dict[str, Any]]], Message | None] | None = None
    supports_early_stopping: Callable[[Any], bool] = lambda params: True
    pairs: bool = False
    learns: str = PICTURES
    preparation: type[Preparation] = SquarePreparation
    economizes: bool = False
    number_bytes: int | None = 4  # of a weight that is loaded; None: as in the file

    def training_cost(self, params: Any, card_of: Callable[[str], dict[str, Any]]) -> TrainingCost:
        """What training takes, by the size of what it is upon too. Raises whatever `card_of` does."""
        assert self.cost is not None
        made = self.cost(params)
        return self.cost_upon(made, params, card_of) if self.cost_upon else made

    def task(self, name: str) -> Task | None:
        return next((task for task in self.tasks if task.name == name), None)
