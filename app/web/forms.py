"""A task's parameter class as form fields: the same bounds, defaults and words as the API's schema."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from models.contract.fine_tuning import marked, network_of


@dataclass(frozen=True)
class Field:
    """One input. `more`: shown under "more"."""

    name: str
    title: str
    description: str
    # prompt, passage, text, integer, number, boolean, choice, checkpoint, lines, numbers, weights, adapters
    widget: str
    default: Any
    minimum: float | None
    maximum: float | None
    step: float | None
    max_length: int | None
    choices: tuple[Any, ...]
    titles: dict[str, str]  # of choices that have longer ones than themselves
    required: bool
    more: bool
    family: str = ""  # of the checkpoints to choose from
    usual: str = ""  # of weights: which inputs weigh something at first, all, first or last
    of: str = ""  # of weights: the role of those inputs
    part: str = ""
    group: str = ""  # the parameter that it is a part of
    needs: str = ""  # the parameter without which it has no effect
    most: float | None = None  # where its slider ends, if before the maximum
    side: str = ""  # of a picture, where it says how far that goes on beyond
    bar: str = ""  # of a piece, where it says which is the first or the last that is chosen
    placeholder: str = ""  # what it is when nothing is given


def fields(params: type[BaseModel], choices: dict[str, list[str]] | None = None) -> list[Field]:
    """In the order of the class, with `seed` and `count` of every task last.

    `choices` are those of one checkpoint (see `Task.choices`); a field that has none to choose from is left out, and so
    is what needs it.
    """
    schema, own = params.model_json_schema(), choices or {}
    made = [
        field(name, {**entry, "enum": own[name]} if name in own else entry, name in schema.get("required", []))
        for name, entry in schema["properties"].items()
        if "$ref" not in entry and own.get(name, True) and entry.get("offered", True)
    ]
    names = {found.name for found in made}
    made = [found for found in made if not found.needs or found.needs in names]
    return sorted(made, key=lambda f: f.name in ("seed", "count"))


def grouped(params: type[BaseModel], group: str) -> list[Field]:
    """As `group.name`: parts of one parameter of a request."""
    return [replace(found, name=f"{group}.{found.name}", group=group) for found in fields(params)]


def network_fields(training: type[BaseModel]) -> list[Field]:
    """Shape of the network that is trained, as `network.width` and so on; empty ones are left as they are.

    What is learnt from the collection is no choice, nor what follows from the rest (`fixed`); a size that the training
    itself has is given there.
    """
    network = network_of(training)
    left_out = marked(network, "of_collection") | ({"size"} & training.model_fields.keys())
    made = []
    for name, entry in network.model_json_schema()["properties"].items():
        if name in left_out or entry.get("fixed"):
            continue
        found = field(name, entry, required=False)
        usual = found.default if isinstance(found.default, list) else [found.default]
        made.append(
            replace(
                found,
                name=f"network.{name}",
                title=name.replace("_", " ").capitalize(),
                default=None,
                placeholder="" if entry.get("by_size") else ", ".join(map(str, usual)),
                group="network",
                more=name != "size",
            )
        )
    return made


def field(name: str, schema: dict[str, Any], required: bool) -> Field:
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    merged = {**options[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    choices = tuple(merged.get("enum", ()))
    family = str(merged.get("checkpoint", ""))
    items = merged.get("items") or (merged.get("prefixItems") or [{}])[0]
    if merged["type"] == "boolean" and merged.get("default") is None and "anyOf" in schema:
        choices = (True, False)  # or neither
    by_type = {"string": "text", "array": "numbers" if items.get("type") == "integer" else "lines"}
    widget = merged.get("widget") or (
        "checkpoint" if family else "choice" if choices else by_type.get(merged["type"], merged["type"])
    )
    return Field(
        name=name,
        title=merged.get("title", name),
        description=merged.get("description", ""),
        widget=widget,
        default=merged.get("default"),
        minimum=merged.get("minimum"),
        maximum=merged.get("maximum"),
        step=merged.get("step", merged.get("multipleOf", 1 if merged.get("type") == "integer" else None)),
        max_length=merged.get("maxLength"),
        choices=choices,
        titles=dict(merged.get("titles", {})),
        required=required,
        more=bool(merged.get("more")),
        family=family,
        usual=str(merged.get("usual", "")),
        of=str(merged.get("of", "")),
        part=str(merged.get("part", "")),
        needs=str(merged.get("needs", "")),
        side=str(merged.get("side", "")),
        bar=str(merged.get("bar", "")),
        most=merged.get("most"),
    )
