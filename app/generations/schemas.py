"""Generation jobs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.artworks.schemas import ArtworkBrief
from app.validation import Slug, Uuid

MOST_IMAGES = 8
LONGEST_REQUEST = 8000  # characters of JSON that the create page takes in its address

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class PictureIn(BaseModel):
    """A picture to work from: one of the two."""

    model_config = ConfigDict(extra="forbid")

    artwork: Uuid | None = None
    upload: Uuid | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> PictureIn:
        if (self.artwork is None) == (self.upload is None):
            raise ValueError("either an artwork or an upload")
        return self


class Inputs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    images: list[PictureIn] = Field([], max_length=MOST_IMAGES)


class GenerationIn(BaseModel):
    """`params` are checked against the schema of the model's task (GET /models/{name})."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"model": "emoji-transformer", "task": "text-to-image", "params": {"prompt": "a red fox, noto style"}}
            ]
        },
    )

    model: Slug
    task: Slug
    params: dict[str, Any] = {}
    inputs: Inputs = Inputs()


class Restoration(BaseModel):
    request: GenerationIn = Field(description="As the picture's file tells it, as far as it fits here")
    differences: list[str] = Field(description="Why what is drawn now may not be the same")


class Progress(BaseModel):
    step: int
    total: int


class GenerationOut(BaseModel):
    id: str
    status: Status
    model: str
    task: str
    params: dict[str, Any] = Field(description="Fully resolved, with the seed")
    inputs: Inputs
    progress: Progress
    queue_position: int | None = Field(description="Jobs that will be started before this one; none once it runs")
    error: str | None
    notice: str | None = Field(description="Why it waits longer than its turn")
    artworks: list[ArtworkBrief]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class GenerationList(BaseModel):
    items: list[GenerationOut]
    next_cursor: str | None
