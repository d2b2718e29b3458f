"""Training that starts from a checkpoint instead of from nothing, and what follows for its parameters. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from models.contract.message import MessageError

START = "start_from"
Training = TypeVar("Training", bound=BaseModel)


class OtherShape(MessageError, ValueError):
    """The parameters want a network of another shape than the checkpoint's; `names` say in what."""

    def __init__(self, checkpoint: str, names: list[str]) -> None:
        super().__init__("The checkpoint {name} has a different {parts}", name=checkpoint, parts=", ".join(names))
        self.checkpoint, self.names = checkpoint, names


def marked(params: type[BaseModel], mark: str) -> set[str]:
    """Parameters whose schema has this mark. `of_collection`: it comes from what is trained on, and changes with it.
    `sets_speed`: runs that differ in it are no measure of each other's speed.
    """
    extras = {name: field.json_schema_extra for name, field in params.model_fields.items()}
    return {name for name, extra in extras.items() if isinstance(extra, dict) and extra.get(mark)}


def as_called_now(given: dict[str, Any], training: type[BaseModel]) -> dict[str, Any]:
    """Parameters of earlier runs as they are now: what a class has `renamed` is found under its old name, what it has
    `removed` is left out.
    """
    renamed: dict[str, str] = getattr(training, "renamed", {})
    removed: set[str] = getattr(training, "removed", set())
    return {renamed.get(name, name): value for name, value in given.items() if name not in removed}


def network_of(training: type[BaseModel]) -> type[BaseModel]:
    """The class of the shape of the network that is trained."""
    network = training.model_fields["network"].annotation
    assert isinstance(network, type) and issubclass(network, BaseModel)
    return network


def start_field(family: str) -> Any:
    return Field(
        None,
        title="Start from",
        description="Checkpoint whose weights training starts from; empty: from scratch",
        json_schema_extra={"checkpoint": family},
    )


def validated(training: type[Training], given: dict[str, Any], card_of: Callable[[str], dict[str, Any]]) -> Training:
    """The parameters of a training. Where it starts from a checkpoint, its network has that one's shape, and what that
    one builds on is beneath it.

    Raises ValidationError, and OtherShape where another shape was asked for.
    """
    start, network = given.get(START), given.get("network", {})
    if not isinstance(start, str) or not isinstance(network, dict):
        return training.model_validate(given)
    card = card_of(start)
    shape = card.get("config", {})
    parts = {part["role"]: part["name"] for part in card.get("builds_on", [])}
    beneath = {role: name for role, name in parts.items() if role in training.model_fields.keys() - given.keys()}
    of_collection = marked(network_of(training), "of_collection")
    of_before = {name: value for name, value in shape.items() if name in of_collection}
    params = training.model_validate({**beneath, **given, "network": {**shape, **network, **of_before}})
    asked: BaseModel = params.network  # type: ignore[attr-defined]
    whole, own = type(asked).model_validate(shape).model_dump(), asked.model_dump()
    if others := sorted(name for name in whole.keys() - of_collection if own[name] != whole[name]):
        raise OtherShape(start, others)
    return params
