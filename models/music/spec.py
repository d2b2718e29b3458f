"""Parameters and tasks of the music transformer; torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from models.contract.composing import (
    CONTINUATION,
    GENERATION,
    HARMONIZATION,
    INPAINTING,
    MELODY,
    MOST_BARS,
    OPENING,
    SCORE,
    ComposingParams,
    music,
)
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.message import Message
from models.contract.preparation import ScorePreparation
from models.contract.tasks import Sizes, Task
from models.contract.training_spec import MORE, BatchSize, WeightDecay
from models.contract.values import MUSIC
from models.parts.causal_spec import CausalShape, CausalTraining

# That a piece of a batch takes the memory of: the longest have 768, and batches of many lengths leave holes in the
# heap. 6.9 GiB were measured.
HELD_NOTES = 3600
PIECES_PER_SECOND = 16.0  # measured: the default network, over the speed of that machine by `models.training.gauge`
BARS_A_UNIT = 2  # that cost as much as a picture of a small model


class GenerationParams(ComposingParams):
    """A piece of so many bars."""

    kind: str | None = Field(
        None,
        title="Kind",
        description="What kind of piece; empty: any",
        json_schema_extra={"choices_from": "kinds", "part": "subject"},
    )
    key: str | None = Field(
        None,
        title="Key",
        description="Empty: as it comes",
        json_schema_extra={"choices_from": "keys", "part": "subject"},
    )
    metre: str | None = Field(
        None, title="Metre", description="Empty: the usual one", json_schema_extra={"choices_from": "metres"}
    )
    bars: int = Field(16, ge=2, le=MOST_BARS, title="Bars", description="How long it is")
    upbeat: bool | None = Field(
        None,
        strict=True,
        title="Upbeat",
        description="Whether it begins with a beat before the first bar line; empty: as is usual for its metre",
    )


class ContinuationParams(ComposingParams):
    """A piece that goes on from its opening."""

    bars: int = Field(8, ge=1, le=MOST_BARS, title="Bars", description="How many are written after the opening")


class HarmonizationParams(ComposingParams):
    """A melody gets its other voices."""


class InpaintingParams(ComposingParams):
    """Some bars of a piece are written anew."""

    first_bar: int = Field(
        1,
        ge=1,
        le=999,
        title="From bar",
        description="The first that is written anew",
        json_schema_extra={"bar": "first"},
    )
    last_bar: int = Field(
        4, ge=1, le=999, title="To bar", description="The last that is written anew", json_schema_extra={"bar": "last"}
    )

    @model_validator(mode="after")
    def forwards(self) -> InpaintingParams:
        if self.last_bar < self.first_bar:
            raise ValueError("the last bar comes before the first")
        return self


class MusicConfig(CausalShape):
    """Shape of the network."""

    width: int = Field(192, ge=32, le=4096, description="Width of the residual stream")
    heads: int = Field(6, ge=1, le=128, description="Attention heads")
    hidden: int = Field(768, ge=32, le=16384, description="Width of the feed-forward layers")
    encoder_layers: int = Field(2, ge=1, le=64, description="Of the encoder")
    voices: int = Field(
        4, ge=1, le=9, description="That sing at once, and chords", json_schema_extra={"of_collection": True}
    )
    durations: int = Field(
        32, ge=1, le=256, description="Lengths of notes at most", json_schema_extra={"of_collection": True}
    )
    metres: int = Field(8, ge=1, le=64, description="At most", json_schema_extra={"of_collection": True})
    kinds: int = Field(16, ge=0, le=64, description="At most", json_schema_extra={"of_collection": True})
    phrases: bool = Field(
        False, strict=True, description="Whether it is told of phrases", json_schema_extra={"of_collection": True}
    )
    length: int = Field(
        768, ge=32, le=8192, description="Notes that it sees at once", json_schema_extra={"fixed": True}
    )


class MusicTraining(CausalTraining):
    """How the music transformer is trained."""

    network: MusicConfig = MusicConfig()
    start_from: str | None = start_field("music-transformer")
    batch_size: BatchSize = 16
    weight_decay: WeightDecay = 0.05
    dropout: float = Field(
        0.2, ge=0, lt=1, title="Dropout", description="Against learning few pieces by heart", json_schema_extra=MORE
    )
    note_dropout: float = Field(
        0.15,
        ge=0,
        lt=1,
        title="Notes hidden",
        description="Share of the notes before that are hidden, so that a wrong one is not followed far",
        json_schema_extra=MORE,
    )


def cost(params: MusicTraining) -> TrainingCost:
    n, usual = params.network, MusicConfig()

    def weights(of: MusicConfig) -> int:
        return of.weights + of.layers * 4 * of.width**2 + of.encoder_layers * of.weights // of.layers

    return TrainingCost(
        fixed_bytes=480 * 2**20 + 24 * weights(n),
        item_bytes=4 * HELD_NOTES * (n.layers + n.encoder_layers) * (14 * n.width + 3 * n.hidden),
        items_per_second=PIECES_PER_SECOND * weights(usual) / weights(n),
    )


def by_bars(params: GenerationParams | ContinuationParams, sizes: Sizes) -> int:
    return max(1, params.bars // BARS_A_UNIT)


def by_length(params: ComposingParams, sizes: Sizes) -> int:
    """Of what is given."""
    given = [each for found in sizes.values() for each in found]
    return max([1, *(int(each.get("notes", 0)) // 32 for each in given)])


def tasks_of(card: dict[str, Any]) -> tuple[Task, ...]:
    """One voice has nothing to be harmonised with."""
    return tuple(task for task in TASKS if task.name != HARMONIZATION or len(card.get("voices", [])) > 1)


def problem(params: InpaintingParams, sizes: Sizes) -> tuple[str, Message] | None:
    bars = next((int(each["bars"]) for each in sizes.get(SCORE, []) if each.get("bars")), None)
    if bars is not None and params.first_bar > bars:
        return SCORE, Message("This piece has {bars} bars", bars=bars)
    return None


TASKS = (
    Task(GENERATION, "Compose", GenerationParams, gives=MUSIC, cost=by_bars),
    Task(
        CONTINUATION,
        "Continue a piece",
        ContinuationParams,
        gives=MUSIC,
        inputs=music(OPENING, "Opening"),
        cost=by_bars,
    ),
    Task(
        HARMONIZATION,
        "Harmonise a melody",
        HarmonizationParams,
        gives=MUSIC,
        inputs=music(MELODY, "Melody"),
        cost=by_length,
        keeps=True,
    ),
    Task(
        INPAINTING,
        "Write bars anew",
        InpaintingParams,
        gives=MUSIC,
        inputs=music(SCORE, "Piece"),
        cost=by_length,
        keeps=True,
        problem=problem,
    ),
)


FAMILIES = [
    Family(
        "music-transformer",
        "Music transformer",
        "Pieces as piano rolls",
        tasks=TASKS,
        tasks_of=tasks_of,
        sampler="models.music.sample",
        training=MusicTraining,
        trainer="models.music.train",
        evaluator="models.music.evaluate",
        presets=(
            Preset("quick", "Quick look", 300),
            Preset("good", "Good", 4000),
            Preset("best", "Best", 20_000),
        ),
        cost=cost,
        learns=MUSIC,
        preparation=ScorePreparation,
    )
]
