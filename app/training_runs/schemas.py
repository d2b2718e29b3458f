"""Training runs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from app.datasets.schemas import Name
from app.validation import Identifier, Slug, no_controls
from models.contract.message import Message
from models.contract.recipe import MAX_MINUTES, MAX_STEPS

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(no_controls)]
BESIDE = ("fit", "mirror")
Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS, strict=True)]
Minutes = Annotated[float, Field(gt=0, le=MAX_MINUTES, allow_inf_nan=False)]


class Budget(BaseModel):
    """A run ends at whichever comes first."""

    model_config = ConfigDict(extra="forbid")

    steps: Steps | None = Field(None, description="Without one: those of the preset, or of the family's middle one")
    minutes: Minutes | None = Field(None, description="Of training, over all attempts")
    patience: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = Field(
        None, description="Measurements of the held-out figure without a better one; the best state is then kept"
    )


class TrainingRunIn(Budget):
    """`params` are checked against the family's schema (GET /training-families)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Kites",
                    "family": "text-to-image-transformer",
                    "dataset": "emoji",
                    "preset": "quick",
                    "base_checkpoint": "drawings-transformer",
                }
            ]
        },
    )

    name: Name
    family: Slug
    dataset: Annotated[str, StringConstraints(max_length=60)] = Field(
        description="Id of a dataset, or the name of a starter collection, which is fetched when it is not there"
    )
    preset: Slug | None = None
    params: dict[str, Any] = Field({}, description="Over those of the preset")
    base_checkpoint: Slug | None = Field(None, description="Fine-tune from this checkpoint")
    preparation: dict[str, Any] = Field(
        {}, description="Of the works of a dataset; see the family's schema. `fit` and `mirror` may stand beside it"
    )
    seed: Annotated[int, Field(ge=0, le=2**53 - 1, strict=True)] = 0
    evaluate: StrictBool = Field(True, description="Measure what it has trained at the end, for its card")

    @model_validator(mode="before")
    @classmethod
    def of_before(cls, given: Any) -> Any:
        """When there were pictures alone, how they are prepared stood among the rest."""
        if not isinstance(given, dict) or not isinstance(inside := given.get("preparation", {}), dict):
            return given
        beside = {name: given[name] for name in BESIDE if name in given}
        rest = {name: value for name, value in given.items() if name not in BESIDE}
        return {**rest, "preparation": {**beside, **inside}} if beside else given


class ExtensionIn(Budget):
    """A new budget, counted from the run's first step; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"steps": 4000}]})


class PublicationIn(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "kites", "title": "Kites"}]})

    name: Slug
    title: Annotated[Text, StringConstraints(max_length=80)] | None = Field(None, description="Else the run's name")
    description: Text = ""
    license: Text = ""
    replace: StrictBool = Field(False, description="Take the place of a checkpoint of this name")


class RunProgress(BaseModel):
    step: int
    total: int
    share: float = Field(description="Of the budget, in [0, 1]")


class TrainingRunOut(BaseModel):
    id: Identifier
    name: str
    status: Status
    phase: str = Field(description="What a running run does: preparing, training, evaluating, ...")
    family: str
    dataset: str | None = Field(description="Id of the dataset; none for a starter collection or a deleted dataset")
    collection: str = Field(description="Name of the dataset or starter collection")
    version: str | None = Field(description="SHA-256 of the pictures and captions that it sees, once they are prepared")
    preparation: dict[str, Any] = Field(description="How the works of a dataset became what it learns from")
    params: dict[str, Any] = Field(description="Fully resolved")
    steps: int
    minutes: float | None
    patience: int | None
    seed: int
    evaluate: bool
    pieces: int = Field(description="Parts that a batch is worked on in, to fit into memory")
    progress: RunProgress
    seconds: float = Field(description="Of training, over all attempts")
    seconds_left: float | None
    saved_step: int = Field(description="Of the newest checkpoint")
    error: Message | None
    model: str | None = Field(description="Name under which it was published last")
    publishable: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class TrainingRunList(BaseModel):
    items: list[TrainingRunOut]
    next_cursor: str | None


class CurvesOut(BaseModel):
    """Of every metric its (step, value) pairs."""

    curves: dict[str, list[tuple[int, float]]]


class SheetOut(BaseModel):
    step: int
    url: str


class SheetList(BaseModel):
    items: list[SheetOut]
    prompts: list[str] = Field(description="Of a model that draws from prompts: what each picture is of, six a row")


class Estimate(BaseModel):
    """What a run would take. `measured` says on what the time rests: a run like it here; pictures a second of two CPU
    cores, scaled by the speed that other runs had here or that this machine was gauged to have; or as they are.
    """

    memory_bytes: int
    pieces: int
    seconds: float
    measured: Literal["here", "runs", "speed", "two cores"]


class PresetOut(BaseModel):
    name: str
    title: str
    steps: int
    params: dict[str, Any]
    estimate: Estimate | None = Field(description="None where it takes more memory than there is")


class TrainingFamilyOut(BaseModel):
    name: str
    title: str
    learns: str = Field(description="Of what medium the works are that it learns from")
    params: dict[str, Any] = Field(description="JSON Schema of `params`")
    preparation: dict[str, Any] = Field(description="JSON Schema of `preparation`")
    presets: list[PresetOut]


class TrainingFamilyList(BaseModel):
    items: list[TrainingFamilyOut]
