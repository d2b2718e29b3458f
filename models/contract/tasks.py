"""What models do, and the parameters that they take for it. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.contract.message import Message
from models.contract.values import PICTURES

IMAGE = "image"  # the role of what most tasks work from
MAX_SEED = 2**53 - 1  # exact in JavaScript
MOST_MIXED = 4  # pictures
Weights = list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]


def seed_field(**extra: Any) -> Any:
    """`extra` is what its schema declares besides."""
    return Field(
        None,
        ge=0,
        le=MAX_SEED - 64,
        title="Seed",
        strict=True,
        description="The same seed with the same settings gives the same work; empty takes one at random",
        json_schema_extra=extra,
    )


def count_field(**extra: Any) -> Any:
    return Field(1, ge=1, le=16, title="Count", description="How many works", strict=True, json_schema_extra=extra)


class SamplingParams(BaseModel):
    """What every task takes. A job draws `count` pictures; the i-th has the seed `seed + i`."""

    model_config = ConfigDict(extra="forbid", strict=False)

    seed: int | None = seed_field()
    count: int = count_field()

    @classmethod
    def declared(cls) -> dict[str, dict[str, Any]]:
        """What the schema of each parameter declares besides, where it does."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {name: extra for name, extra in extras.items() if isinstance(extra, dict)}

    @classmethod
    def in_part(cls, *parts: str) -> dict[str, dict[str, Any]]:
        """Parameters that declare one of these parts, by name, with what else their schema declares."""
        return {name: extra for name, extra in cls.declared().items() if extra.get("part") in parts}

    @classmethod
    def without_effect(cls, values: Mapping[str, Any]) -> set[str]:
        """Parameters that need another one, which is empty, 0 or false in `values`."""
        needs = {name: extra["needs"] for name, extra in cls.declared().items() if "needs" in extra}
        return {name for name, other in needs.items() if not values.get(other)}

    @classmethod
    def is_seeded(cls, values: Mapping[str, Any]) -> bool:
        """Whether the seed changes anything."""
        return cls.declared().get("seed", {}).get("offered", True) and "seed" not in cls.without_effect(values)

    def subject(self) -> str:
        """What the work is to be of, in words; empty where no parameter says it."""
        said = [getattr(self, name) for name in self.in_part("prompt") or self.in_part("subject")]
        return " · ".join(str(words) for words in said if words)


class DeterministicParams(SamplingParams):
    """Of a task that leaves nothing to chance: what is given leads to one work, whatever the seed."""

    seed: int | None = seed_field(offered=False)
    count: int = count_field(offered=False)

    @model_validator(mode="after")
    def one(self) -> Self:
        if self.count > 1:
            raise ValueError("what is given leads to one work only: ask for one")
        return self


def any_text(text: str) -> str:
    """Refuse what no text holds (NUL, lone surrogates); keep everything else exactly."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold NUL or unpaired surrogates")
    return text


def plain_text(text: str) -> str:
    """Refuse what is blank too."""
    if not any_text(text).strip():
        raise ValueError("must not be blank")
    return text


AnyText = Annotated[str, AfterValidator(any_text)]
PlainText = Annotated[str, AfterValidator(plain_text)]
LONGEST_PROMPT = 500  # characters


def prompt_field(longest: int) -> Any:
    """A parameter that says in words what to draw."""
    return Field(
        min_length=1,
        max_length=longest,
        title="Prompt",
        strict=True,
        description="What to draw, in English or Chinese",
        json_schema_extra={"widget": "prompt", "part": "prompt"},
    )


class PromptedParams(SamplingParams):
    """What every task takes that draws after words."""

    prompt: PlainText = prompt_field(LONGEST_PROMPT)


@dataclass(frozen=True)
class Input:
    """What a task is given: how many of a medium, at least and at most, in a role such as image, mask, style, melody.

    `title` is what the form calls it. One that is `over` another role marks parts of what is given there, and is as
    large; one that is `painted` may be worked on in a canvas before it is given.
    """

    role: str
    title: str
    medium: str = PICTURES
    least: int = 1
    most: int = 1
    over: str = ""
    painted: bool = False


Sizes: TypeAlias = "Mapping[str, Sequence[Mapping[str, Any]]]"  # by role: width and height, or what is known else


@dataclass(frozen=True)
class Task:
    """One thing a family does. `name` is the field's own term; it is given `inputs` and gives works of a medium.

    `batch_key(params, sizes)`: jobs with one key may be sampled together; None: those of the task. `cost(params,
    sizes)` is what one work takes, in pictures of a small model; it counts in batches, turns and quotas.
    `problem(params, sizes)` says in which role something is given that does not fit, and why.

    `keeps`: parts of what it is given come back as they were.

    A parameter whose schema has `choices_from: KEY` takes one of the strings that the checkpoint's card has under KEY.
    One may declare its part by `part`: `prompt`, or else `subject`, says in words what the work is of; `path` spreads a
    job's works between its inputs; `weights` has one number for each input in the role `of`; `adapters` names some of
    these `kinds` that are put upon the model, see `models.contract.adapters`, one for each input in the role that it
    `follows`. One says by its `side` by
    how many pixels a picture goes on beyond its left, top, right or bottom, and by its `bar` that it is the first or
    the last bar that is chosen of a piece. One that has no effect while another is empty, 0 or false names that one by
    `needs`, and one that never has any is not `offered`: no form shows what changes nothing. A slider ends at `most`
    where what lies beyond hardly differs.
    """

    name: str
    title: str
    params: type[SamplingParams]
    gives: str = PICTURES
    inputs: tuple[Input, ...] = ()
    live: bool = False  # one work takes so little time that it can follow a slider
    frame: int | None = None  # pixels of pictures, in all, that it can follow one with; of larger ones made smaller
    keeps: bool = False
    batch_key: Callable[[Any, Sizes], str] | None = None
    cost: Callable[[Any, Sizes], int] = lambda params, sizes: 1
    problem: Callable[[Any, Sizes], tuple[str, Message] | None] = lambda params, sizes: None

    def input(self, role: str) -> Input | None:
        return next((given for given in self.inputs if given.role == role), None)

    @property
    def source(self) -> Input | None:
        """What it works from, where it cannot do without."""
        return next((given for given in self.inputs if given.least), None)

    def choices(self, card: dict[str, Any]) -> dict[str, list[str]]:
        """What this checkpoint allows for such parameters; nothing where its card has none."""
        properties = self.params.model_json_schema()["properties"]
        keys = {name: schema["choices_from"] for name, schema in properties.items() if "choices_from" in schema}
        return {name: [str(choice) for choice in card.get(key, [])] for name, key in keys.items()}


def direction_field(description: str) -> Any:
    """A parameter that names one of the model's directions."""
    return Field(
        None,
        max_length=80,
        title="Direction",
        description=description,
        json_schema_extra={"choices_from": "directions"},
    )


def amount_field() -> Any:
    """A parameter that says how far along the `direction`."""
    return Field(
        2.0,
        ge=-6,
        le=6,
        title="Amount",
        description="How far along the direction; below 0 goes the other way",
        json_schema_extra={"needs": "direction"},
    )


class VariationParams(SamplingParams):
    """More like one picture, and, along one of the model's directions, more or less of something."""

    strength: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Strength",
        description=("How far from the picture: 0 reproduces it, 1 gives a different one"),
    )
    direction: str | None = direction_field("The feature to draw more or less of")
    amount: float = amount_field()


def weights_field(role: str, description: str) -> Any:
    """A parameter that has a number for each input of a role."""
    return Field(
        None,
        max_length=MOST_MIXED,
        title="Weight",
        description=description,
        json_schema_extra={"widget": "weights", "usual": "all", "part": "weights", "of": role},
    )


def path_field(description: str) -> Any:
    """A parameter that spreads a job's works between its inputs."""
    return Field(False, strict=True, title="Interpolate", description=description, json_schema_extra={"part": "path"})


def some_weight(weights: list[float] | None) -> None:
    if weights is not None and sum(weights) <= 0:
        raise ValueError("at least one weight must be more than 0")


class InterpolationParams(SamplingParams):
    """A mixture of pictures. With `path`, those of a job lie evenly on the way from the first given to the last."""

    seed: int | None = seed_field(needs="variety")

    weights: Weights | None = weights_field(IMAGE, "How much of each picture; empty takes equal amounts")
    variety: float = Field(
        0.0, ge=0, le=1, title="Variety", description="How far each picture strays from the mixture, by its seed"
    )
    path: bool = path_field("Spread the pictures from the first to the last")

    @model_validator(mode="after")
    def something(self) -> InterpolationParams:
        some_weight(self.weights)
        if self.count > 1 and not self.path and not self.variety:
            raise ValueError("pictures of one mixture are all the same: give some variety, or choose “Interpolate”")
        return self


def images(least: int, most: int) -> tuple[Input, ...]:
    """Pictures to work from."""
    return (Input(IMAGE, "Picture to work from", PICTURES, least, most),)


TEXT_TO_IMAGE = "text-to-image"
VARIATION = Task("image-variation", "More like this", VariationParams, inputs=images(1, 1), live=True)
INTERPOLATION = Task("image-interpolation", "Mix works", InterpolationParams, inputs=images(2, MOST_MIXED), live=True)
