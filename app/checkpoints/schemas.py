"""Models on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.checkpoints.service import Checkpoint, adapters_for, ships
from app.media import made_as
from models.contract.tasks import IMAGE, Input, Task


class ImagesOut(BaseModel):
    least: int
    most: int


class ExampleOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    path: str = Field(description="Where it lies, below /api/v1; to be uploaded before it is used")
    title: str
    file: str = Field(description="What to call it then")


class InputOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    role: str
    title: str
    medium: str
    least: int
    most: int
    over: str = Field(description="The role of which it marks parts, as large as what is given there; mostly empty")
    examples: list[ExampleOut] = Field([], description="What may be given to begin with")

    @classmethod
    def of(cls, given: Input, found: Checkpoint) -> InputOut:
        examples = [ExampleOut.model_validate(each) for each in found.examples(given)]
        return cls.model_validate(given).model_copy(update={"examples": examples})


class TaskOut(BaseModel):
    name: str
    title: str
    gives: str = Field(description="Of what medium its works are: pictures, films, music or texts")
    media_type: str = Field(description="Of the files of its works")
    live: bool = Field(description="Quick enough for /explorations")
    choices: dict[str, list[str]] = Field(description="What this checkpoint allows for parameters that depend on it")
    inputs: list[InputOut] = Field(description="What it is given, by role")
    images: ImagesOut = Field(description="How many the role `image` takes")
    params: dict[str, Any] = Field(description="JSON Schema of `params`")


def images_of(task: Task) -> ImagesOut:
    taken = task.input(IMAGE)
    return ImagesOut(least=taken.least if taken else 0, most=taken.most if taken else 0)


class CheckpointOut(BaseModel):
    sha256: str
    license: str
    trained_on: str
    parameters: int
    figures: dict[str, Any] = Field(description="What was measured; see the card")


class ModelOut(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "drawings-transformer"}]})

    name: str
    title: str
    description: str
    family: str
    checkpoint: CheckpointOut
    tasks: list[TaskOut]
    adapters: list[str] = Field([], description="Checkpoints that a request may put upon it, by name")

    @classmethod
    def of(cls, found: Checkpoint) -> ModelOut:
        card = found.card
        return cls(
            name=found.name,
            title=found.title,
            description=card.get("description", ""),
            family=found.family.name,
            checkpoint=CheckpointOut(
                sha256=found.sha256,
                license=card.get("license", ""),
                trained_on=card.get("trained_on", card.get("collection", "")),
                parameters=card["parameters"],
                figures=card.get("figures", {}),
            ),
            tasks=[
                TaskOut(
                    name=task.name,
                    title=task.title,
                    gives=task.gives,
                    media_type=made_as(task.gives),
                    live=task.live,
                    choices=task.choices(card),
                    inputs=[InputOut.of(each, found) for each in task.inputs],
                    images=images_of(task),
                    params=task.params.model_json_schema(),
                )
                for task in found.tasks
            ],
            adapters=list(adapters_for(found)),
        )


class ModelList(BaseModel):
    items: list[ModelOut]
    next_cursor: str | None = None


class CardOut(BaseModel):
    """A checkpoint with its card, also one that draws nothing by itself."""

    name: str
    family: str
    sha256: str
    parameters: int
    ours: bool = Field(description="Ships with the studio: it can be neither replaced nor deleted")
    card: dict[str, Any]

    @classmethod
    def of(cls, name: str, card: dict[str, Any]) -> CardOut:
        return cls(
            name=name,
            family=card["family"],
            sha256=card["sha256"],
            parameters=card["parameters"],
            ours=ships(name),
            card=card,
        )


class CardList(BaseModel):
    items: list[CardOut]
    next_cursor: str | None = None
