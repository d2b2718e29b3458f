"""What models do, and the parameters that they take for it. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:  # the web process declares models, it does not compute
    pass


MAX_SEED = 2**53 - 1  # exact in JavaScript
MOST_MIXED = 4  # pictures
Weights = list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]


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
