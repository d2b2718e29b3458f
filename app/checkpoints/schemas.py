"""Models on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.checkpoints.service import Checkpoint, ships


class ImagesOut(BaseModel):
    least: int
    most: int


class TaskOut(BaseModel):
    name: str
    title: str
    media_type: str
    live: bool = Field(description="Quick enough for /explorations")
    choices: dict[str, list[str]] = Field(description="What this checkpoint allows for parameters that depend on it")
    images: ImagesOut = Field(description="How many pictures `inputs.images` takes")
    params: dict[str, Any] = Field(description="JSON Schema of `params`")


class CheckpointOut(BaseModel):
    sha256: str
    license: str
    trained_on: str
    parameters: int
    figures: dict[str, Any] = Field(description="What was measured; see the card")


class ModelOut(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "emoji-transformer"}]})

    name: str
    title: str
    description: str
    family: str
    checkpoint: CheckpointOut
    tasks: list[TaskOut]

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
                    media_type=task.media_type,
                    live=task.live,
                    choices=task.choices(card),
                    images=ImagesOut(least=task.images[0], most=task.images[1]),
                    params=task.params.model_json_schema(),
                )
                for task in found.family.tasks
            ],
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
