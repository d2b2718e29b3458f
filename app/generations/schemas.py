"""Generation jobs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.artworks.schemas import ArtworkBrief
from app.validation import Identifier, Slug, Uuid
from models.contract.message import Message
from models.contract.tasks import IMAGE
from models.contract.upscaling import LARGEST

MOST_INPUTS, MOST_ROLES = 8, 8
LONGEST_REQUEST = 8000  # characters of JSON that the create page takes in its address
BEFORE = "images"  # what the role `image` was called when there was no other

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class InputIn(BaseModel):
    """What to work from: a work of the studio, or an upload; one of the two."""

    model_config = ConfigDict(extra="forbid")

    artwork: Uuid | None = None
    upload: Uuid | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> InputIn:
        if (self.artwork is None) == (self.upload is None):
            raise ValueError("either an artwork or an upload")
        return self


def by_role(given: Any) -> Any:
    """As it is called now; what is empty says nothing. Raises ValueError for two words for one thing."""
    if not isinstance(given, dict):
        return given
    if BEFORE in given:
        if given.get(IMAGE, given[BEFORE]) != given[BEFORE]:
            raise ValueError("`images` is an alias of `image`: give only one")
        given = {(IMAGE if role == BEFORE else role): found for role, found in given.items() if role != IMAGE}
    return {role: found for role, found in given.items() if found != []}


Inputs = Annotated[
    dict[Slug, Annotated[list[InputIn], Field(max_length=MOST_INPUTS)]],
    BeforeValidator(by_role),
    Field(max_length=MOST_ROLES, description="By role; the model's task says which. `images` is taken for `image`"),
]


class Enlarging(BaseModel):
    """Pictures are made larger before they are kept, as often as needed."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(
        ge=64,
        le=LARGEST,
        strict=True,
        title="Size",
        description="Pixels that the longer side has at least; a picture that has them stays as it is",
    )
    model: Slug | None = Field(None, description="One with the task `image-upscaling`; without it the studio chooses")
    pixel_art: bool = Field(False, strict=True, description="Every pixel becomes a square, and nothing is added")


class GenerationIn(BaseModel):
    """`params` are checked against the schema of the model's task (GET /models/{name})."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "model": "drawings-transformer",
                    "task": "text-to-image",
                    "params": {"prompt": "a red fox, noto style"},
                }
            ]
        },
    )

    model: Slug
    task: Slug
    params: dict[str, Any] = {}
    inputs: Inputs = {}
    enlarge: Enlarging | None = None


class Restoration(BaseModel):
    request: GenerationIn = Field(description="As the work's file tells it, as far as it fits here")
    differences: list[Message] = Field(description="Why what is drawn now may not be the same")


class Progress(BaseModel):
    step: int
    total: int


class GenerationOut(BaseModel):
    id: Identifier
    status: Status
    model: str
    task: str
    subject: str = Field(description="What it is of, in words, where the request says it")
    params: dict[str, Any] = Field(description="Fully resolved, with the seed")
    inputs: Inputs
    enlarge: Enlarging | None
    grid: Identifier | None = Field(description="That it is a cell of")
    cost: int = Field(description="What it takes, in pictures of a small model")
    progress: Progress
    queue_position: int | None = Field(description="Jobs that will be started before this one; none once it runs")
    error: Message | None
    notice: Message | None = Field(
        description="Why it waits longer than its turn; when it has ended, what of the request was not used"
    )
    artworks: list[ArtworkBrief]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def again(self) -> dict[str, Any]:
        """A request for the same, with another seed."""
        asked = GenerationIn(
            model=self.model,
            task=self.task,
            params={**self.params, "seed": None},
            inputs=self.inputs,
            enlarge=self.enlarge,
        )
        return asked.model_dump(exclude_none=True)


class Cancellations(BaseModel):
    """Jobs to cancel at once."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": ["0199c0de-0000-7000-8000-000000000000"]}]}
    )

    ids: Annotated[list[Uuid], Field(min_length=1, max_length=500)]


class CancellationsOut(BaseModel):
    cancelled: list[str] = Field(description="Ids of jobs that are cancelled, or will be at their worker's next look")
    ended: list[str] = Field(description="Ids of jobs that had ended")
    missing: list[str] = Field(description="Ids of which there is no job of the user's")


class GenerationList(BaseModel):
    items: list[GenerationOut]
    next_cursor: str | None
