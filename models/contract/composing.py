"""What tasks that make music are called, and what they take. Torch-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from models.contract.tasks import (
    MOST_MIXED,
    Input,
    Task,
    Weights,
    amount_field,
    direction_field,
    path_field,
    some_weight,
    weights_field,
)
from models.contract.values import MUSIC
from models.contract.writing import WritingParams, temperature_field, top_p_field

GENERATION, CONTINUATION = "music-generation", "music-continuation"
HARMONIZATION, INPAINTING = "music-harmonization", "music-inpainting"
INTERPOLATION, VARIATION = "music-interpolation", "music-variation"
OPENING, MELODY, SCORE = "opening", "melody", "score"  # roles
MOST_BARS = 64
SLOWEST, FASTEST = 20, 300  # quarters a minute


class ComposingParams(WritingParams):
    """How freely it is composed, and how fast it is played.

    Durations have more of the variety of real ones than with what suits texts: measured on chorales, 0.93 of their
    histogram against 0.83.
    """

    temperature: float = temperature_field(1.0)
    top_p: float = top_p_field(0.95)
    tempo: int | None = Field(
        None,
        ge=SLOWEST,
        le=FASTEST,
        title="Tempo",
        description="Quarters a minute; empty: as what is given, or as usual for its kind",
    )


def playable(tempo: float) -> float:
    """As near to it as a piece may be asked for."""
    return min(float(FASTEST), max(float(SLOWEST), tempo))


def music(role: str, title: str, least: int = 1, most: int = 1) -> tuple[Input, ...]:
    """Scores to work from."""
    return (Input(role, title, MUSIC, least, most),)


class RollGenerationParams(ComposingParams):
    """A piece from chance."""

    key: str | None = Field(
        None,
        title="Key",
        description="Empty: C major or A minor",
        json_schema_extra={"choices_from": "keys", "part": "subject"},
    )
    variety: float = Field(
        0.8, ge=0, le=1.5, title="Variety", description="Spread of the latents: less gives safer pieces"
    )


class RollVariationParams(ComposingParams):
    """More like one piece."""

    strength: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Strength",
        description="How far from the piece: 0 repeats it as the model hears it, 1 gives a different one",
    )


class RollInterpolationParams(ComposingParams):
    """A mixture of pieces. With `path`, those of a job lie evenly on the way from the first given to the last."""

    weights: Weights | None = weights_field(SCORE, "How much of each piece; empty takes equal amounts")
    path: bool = path_field("Spread the pieces from the first to the last")

    @model_validator(mode="after")
    def something(self) -> RollInterpolationParams:
        some_weight(self.weights)
        return self


class DirectedParams(RollGenerationParams):
    """A piece from chance that has more or less of something."""

    direction: str | None = direction_field("What the piece has more or less of")
    amount: float = amount_field()


ROLL_TASKS = (
    Task(VARIATION, "More like this piece", RollVariationParams, gives=MUSIC, inputs=music(SCORE, "Piece"), live=True),
    Task(
        INTERPOLATION,
        "Mix pieces",
        RollInterpolationParams,
        gives=MUSIC,
        inputs=music(SCORE, "Piece", 2, MOST_MIXED),
        live=True,
    ),
)
