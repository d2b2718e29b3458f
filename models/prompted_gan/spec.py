"""Parameters and task of the GAN that draws after words; torch-free."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.autoencoders.latents_spec import CELL, CardOf, autoencoder_field, picture_size_of, problem_of
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.latent_spec import SMALLEST_GRID, SMALLEST_JUDGED, Size, truncation_field
from models.contract.message import Message
from models.contract.tasks import LONGEST_PROMPT, TEXT_TO_IMAGE, AnyText, PromptedParams, Task
from models.contract.training_spec import MORE, BatchSize, EMADecay, Watched, WordDrop
from models.parts.prompt_spec import PromptShape

FAMILY = "text-to-image-gan"
ATTENDED = 16  # cells along the side of the largest grid that attends to the words
IMAGES_PER_SECOND = 53.0  # measured: the default networks on two CPU cores
# Measured: what an autoencoder's decoder at 64 px takes more, in the time of those, and in bytes a picture.
DECODING, DECODER_BYTES = 0.23, 14 << 20


class PromptedGANConfig(PromptShape):
    """Shape of the generator."""

    width: int = Field(192, ge=32, le=4096, description="Width of the prompt's encoder")
    heads: int = Field(6, ge=1, le=128, description="Attention heads")
    encoder_hidden: int = Field(384, ge=32, le=16384, description="Width of the encoder's feed-forward layers")
    text_vocabulary: int = Field(2048, ge=300, le=65536, description="Sub-word tokens")
    contrastive: Literal[True] = Field(
        True, description="Prompts are read by what pictures of them look like", json_schema_extra={"fixed": True}
    )
    reference: Literal[False] = Field(
        False, description="It takes no picture to go by", json_schema_extra={"fixed": True}
    )
    size: Literal[8, Size] = Field(64, description="Side of what it draws: pixels, or cells of a latent grid")
    drawn_channels: int = Field(3, ge=1, le=64, description="Channels of a pixel, or of a cell")
    patch: Literal[1, 2, 4] = Field(
        2,
        description="Side in pixels of a cell of the finest grid; usually more in larger pictures",
        json_schema_extra={"by_size": True},
    )
    latent: int = Field(64, ge=2, le=1024, description="Latent dimensions that are left to chance")
    channels: int = Field(64, ge=32, le=1024, multiple_of=32, description="Channels of the finest grid")
    max_channels: int = Field(256, ge=32, le=2048, multiple_of=32, description="Channels of the coarsest grid, at most")
    blocks: int = Field(2, ge=1, le=8, description="Residual blocks per grid")

    @property
    def grids(self) -> list[tuple[int, int]]:
        """(side, channels) of each grid, from 4 x 4 up; each has twice the side of the one before."""
        count = (self.size // self.patch // SMALLEST_GRID).bit_length()
        return [(SMALLEST_GRID << i, min(self.max_channels, self.channels << (count - 1 - i))) for i in range(count)]

    @property
    def work(self) -> int:
        """What a picture costs, in proportion: cells by the square of their channels."""
        within = sum(side**2 * channels**2 * (self.blocks + 1) for side, channels in self.grids)
        between = sum(4 * side**2 * wide * narrow for (side, wide), (_, narrow) in pairwise(self.grids))
        return within + between

    @model_validator(mode="after")
    def enough_grids(self) -> PromptedGANConfig:
        if self.size // self.patch < 2 * SMALLEST_GRID:
            raise ValueError("the picture is too small for patches of this size")
        return self


class PromptedGANTraining(BaseModel):
    """How it is trained."""

    model_config = ConfigDict(extra="forbid")

    network: PromptedGANConfig = PromptedGANConfig()
    autoencoder: str | None = autoencoder_field()
    start_from: str | None = start_field(FAMILY)
    objective: Literal["relativistic", "non-saturating", "hinge"] = Field(
        "relativistic", title="Objective", description="Loss that the two networks train on"
    )
    batch_size: BatchSize = 32
    learning_rate: float = Field(
        5e-4, gt=0, le=1, title="Learning rate", description="Peak rate of Adam, for both networks"
    )
    gamma: float = Field(
        50.0,
        ge=0,
        le=1000,
        title="Gradient penalty",
        description="Weight of R1 and R2, by the features that the discriminator judges",
        json_schema_extra=MORE,
    )
    matching_weight: float = Field(
        2.0,
        ge=0,
        le=100,
        title="Matching weight",
        description="Of telling the caption of a picture from those of others",
        json_schema_extra=MORE,
    )
    likeness_weight: float = Field(
        2.0,
        ge=0,
        le=100,
        title="Likeness weight",
        description="Of drawing what looks more like the picture of the caption than like others",
        json_schema_extra=MORE,
    )
    strength: float = Field(
        0.2,
        ge=0,
        le=1,
        title="Strength of augmentation",
        description="How often what the discriminator sees of a picture is changed",
        json_schema_extra=MORE,
    )
    word_drop: WordDrop = 0.2
    watched: Watched = []
    ema_decay: EMADecay = 0.999


class PromptedGANParams(PromptedParams):
    """A prompt, or a place on the way from one prompt to another."""

    truncation: float = truncation_field()
    other_prompt: AnyText = Field(
        "",
        max_length=LONGEST_PROMPT,
        title="Second prompt",
        description="What to mix the first with; empty: nothing",
    )
    amount: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Share of the second prompt",
        description="0 draws after the first prompt alone, 1 after the second",
        json_schema_extra={"needs": "other_prompt"},
    )
    path: bool = Field(
        False,
        strict=True,
        title="Interpolate",
        description="Spread the pictures from the first prompt to the second, all from one seed",
        json_schema_extra={"part": "path", "needs": "other_prompt"},
    )

    @model_validator(mode="after")
    def a_way(self) -> PromptedGANParams:
        if self.path and not self.other_prompt.strip():
            raise ValueError("say what the way leads to: give a second prompt")
        return self


def problem(params: PromptedGANTraining, card_of: CardOf) -> Message | None:
    """What it draws must be what the autoencoder reads."""
    return problem_of(params.autoencoder, params.network.size, params.network.drawn_channels, card_of)


def cost(params: PromptedGANTraining) -> TrainingCost:
    """Activations of the generator, of the decoder where there is one, and of the features by which both players'
    pictures are judged.
    """
    network, usual = params.network, PromptedGANConfig()
    pixels = (network.size * (CELL if params.autoencoder else 1)) ** 2
    judged = max(1.0, pixels / SMALLEST_JUDGED**2)
    cells = sum(side**2 * channels for side, channels in network.grids)
    decoded = pixels / SMALLEST_JUDGED**2 if params.autoencoder else 0.0
    return TrainingCost(
        fixed_bytes=700 * 2**20,
        item_bytes=round(cells * network.blocks * 100 + 6000 * SMALLEST_JUDGED**2 * judged + decoded * DECODER_BYTES),
        items_per_second=IMAGES_PER_SECOND / (0.5 * judged + 0.5 * network.work / usual.work + DECODING * decoded),
    )


FAMILIES = [
    Family(
        FAMILY,
        "Text-to-image GAN",
        "The watched prompts",
        tasks=(Task(TEXT_TO_IMAGE, "Text to image", PromptedGANParams, live=True),),
        sampler="models.prompted_gan.sample",
        training=PromptedGANTraining,
        trainer="models.prompted_gan.train",
        evaluator="models.prompted_gan.evaluate",
        presets=(
            Preset("quick", "Quick look", 1500),
            Preset("few", "Few pictures", 5000, {"strength": 0.6}),
            Preset("good", "Good", 15_000),
            Preset("best", "Best", 60_000),
        ),
        picture_size=lambda params, card_of: picture_size_of(params.autoencoder, params.network.size, card_of),
        cost=cost,
        problem=problem,
    )
]
