"""What a family of models declares about itself: tasks, parameters and where its code lives. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:  # the web process declares models, it does not compute
    import numpy as np
    import numpy.typing as npt

MAX_SEED = 2**53 - 1  # exact in JavaScript
MOST_MIXED = 4  # pictures
Weights = list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]
BATCHES = (1, 2, 4, 8, 16)  # a batch is padded to one of these, so that few shapes occur


class SamplingParams(BaseModel):
    """What every task takes. A job draws `count` pictures; the i-th has the seed `seed + i`."""

    model_config = ConfigDict(extra="forbid", strict=False)

    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED - 64,
        title="Seed",
        strict=True,
        description="The same seed with the same settings gives the same picture; empty draws one at random",
    )
    count: int = Field(1, ge=1, le=16, title="Count", description="How many pictures", strict=True)

    @classmethod
    def weights_of_pictures(cls) -> list[str]:
        """Names of the parameters that have one number for each picture that is given."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return [name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("widget") == "weights"]


def plain_text(text: str) -> str:
    """Refuse what no text holds (NUL, lone surrogates) and what is blank; keep everything else exactly."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold NUL or unpaired surrogates")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


PlainText = Annotated[str, AfterValidator(plain_text)]
LONGEST_PROMPT = 500  # characters


class PromptedParams(SamplingParams):
    """What every task takes that draws after words."""

    prompt: PlainText = Field(
        min_length=1,
        max_length=LONGEST_PROMPT,
        title="Prompt",
        strict=True,
        description="What to draw, in English or Chinese",
        json_schema_extra={"widget": "prompt"},
    )


@dataclass(frozen=True)
class Task:
    """One thing a family does. `name` is the field's own term, `media_type` what it returns, `images` how many
    pictures it is given, at least and at most.

    A parameter whose schema has `choices_from: KEY` takes one of the strings that the checkpoint's card has under KEY.
    """

    name: str
    title: str
    params: type[SamplingParams]
    media_type: str = "image/png"
    images: tuple[int, int] = (0, 0)
    live: bool = False  # one picture takes so little time that it can follow a slider

    def choices(self, card: dict[str, Any]) -> dict[str, list[str]]:
        """What this checkpoint allows for such parameters; nothing where its card has none."""
        properties = self.params.model_json_schema()["properties"]
        keys = {name: schema["choices_from"] for name, schema in properties.items() if "choices_from" in schema}
        return {name: [str(choice) for choice in card.get(key, [])] for name, key in keys.items()}


class VariationParams(SamplingParams):
    """More like one picture, and, along one of the model's directions, more or less of something."""

    strength: float = Field(
        0.5, ge=0, le=1, title="Strength", description="How far from the picture: 0 gives it back, 1 gives another one"
    )
    direction: str | None = Field(
        None,
        max_length=80,
        title="Direction",
        description="What there is to be more or less of",
        json_schema_extra={"choices_from": "directions"},
    )
    amount: float = Field(
        2.0, ge=-6, le=6, title="Amount", description="How far along the direction; less than 0 goes the other way"
    )


class InterpolationParams(SamplingParams):
    """A mixture of pictures. With `path`, those of a job lie evenly on the way from the first given to the last."""

    weights: Weights | None = Field(
        None,
        max_length=MOST_MIXED,
        title="Weight",
        description="How much of each picture; empty takes as much of each",
        json_schema_extra={"widget": "weights", "usual": "all"},
    )
    variety: float = Field(
        0.0, ge=0, le=1, title="Variety", description="How far each picture strays from the mixture, by its seed"
    )
    path: bool = Field(
        False, title="The way between", description="Spread the pictures along the way from the first to the last"
    )

    @model_validator(mode="after")
    def something(self) -> InterpolationParams:
        if self.weights is not None and sum(self.weights) <= 0:
            raise ValueError("at least one weight must be more than 0")
        if self.count > 1 and not self.path and not self.variety:
            raise ValueError("pictures of one mixture are all the same: give some variety, or choose the way between")
        return self


TEXT_TO_IMAGE = "text-to-image"
VARIATION = Task("image-variation", "More like this", VariationParams, images=(1, 1), live=True)
INTERPOLATION = Task("image-interpolation", "Mix works", InterpolationParams, images=(2, MOST_MIXED), live=True)


@dataclass(frozen=True)
class Preset:
    """A named choice of training parameters and budget."""

    name: str
    title: str
    steps: int
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingCost:
    """What training takes: bytes that do not depend on the batch, bytes a picture of a piece, pictures a second.

    `images_per_second` is measured with the default network on two CPU cores (see `models.training.gauge`); a studio's
    own runs say it better.
    """

    fixed_bytes: int
    picture_bytes: int
    images_per_second: float


@dataclass(frozen=True)
class Family:
    """Modules of a family, None where it has none: `sampler` with `load(folder, device)`, `loader` with the same for
    one that draws nothing by itself, `trainer` with `train(params, data, run)`, `evaluator` with
    `evaluate(folder, data)`.

    `picture_size(params, card_of)` is the side of the pictures that it trains on; `card_of(name)` reads a checkpoint's
    card. `cost(params)` is what its training takes. `problem(params, card_of)` says what does not fit together, if
    anything. `pairs`: it learns from drawings of one thing in several styles. `sheet` says what the sheets of a run
    show.
    """

    name: str
    title: str
    sheet: str = ""
    tasks: tuple[Task, ...] = ()
    sampler: str | None = None
    loader: str | None = None
    training: type[BaseModel] | None = None
    trainer: str | None = None
    evaluator: str | None = None
    presets: tuple[Preset, ...] = ()
    picture_size: Callable[[Any, Callable[[str], dict[str, Any]]], int] | None = None
    cost: Callable[[Any], TrainingCost] | None = None
    problem: Callable[[Any, Callable[[str], dict[str, Any]]], str | None] | None = None
    pairs: bool = False

    def task(self, name: str) -> Task | None:
        return next((task for task in self.tasks if task.name == name), None)


class Cancelled(Exception):
    """Raised by `on_step` to leave a sampler: the request is no longer wanted."""


@dataclass
class Request:
    """One picture to sample: its own seed, its task's parameters, and the pictures that it is given.

    `images` are (H, W, 3) uint8 of any size. It is the `index`-th of its job's pictures.
    """

    task: str
    params: Any
    seed: int
    images: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    index: int = 0


def requests_of(params_of: Callable[..., Any], prompts: list[str], seed: int, **params: float) -> list[Request]:
    """One request a prompt, all with the same seed; for contact sheets and evaluation. Captions may be longer than
    prompts: their beginning is taken.
    """
    return [Request(TEXT_TO_IMAGE, params_of(prompt=prompt[:LONGEST_PROMPT], **params), seed) for prompt in prompts]


@dataclass
class Output:
    """One sampled work. For pictures `pixels` is (H, W, 3) uint8."""

    pixels: npt.NDArray[np.uint8]
    metadata: dict[str, Any] = field(default_factory=dict)


T = TypeVar("T")
Previews: TypeAlias = "list[npt.NDArray[np.uint8]]"  # one unfinished picture a request
OnStep: TypeAlias = "Callable[[int, int, Callable[[], Previews]], None]"


def padded(batch: list[T]) -> list[T]:
    """With its last entry repeated, up to the next of BATCHES."""
    return [*batch, *[batch[-1]] * (next(size for size in BATCHES if size >= len(batch)) - len(batch))]


class Sampler(Protocol):
    """A loaded checkpoint. `batch_size` is how many requests it takes at once."""

    batch_size: int
    memory_bytes: int

    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """Sample a batch. `on_step(step, total, previews)` is called as it goes; `previews()` draws only if called."""
        ...


def may_get_flat(params: BaseModel) -> bool:
    """Whether a held-out figure says how good a run with these parameters is, so that it can end on a plateau."""
    return not getattr(params, "is_sharpened", False)
