"""What the parameters of several autoencoders share; torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from models.contract.family import TrainingCost
from models.contract.latent_spec import SMALLEST_JUDGED
from models.contract.training_spec import MORE, BatchSize

Width = Annotated[int, Field(ge=8, le=2048, multiple_of=8)]
LikelihoodName = Literal["gaussian", "laplace", "discretised-logistic"]


def grid_work(size: int, widths: Sequence[int]) -> float:
    """What a picture costs, in proportion: cells of 1/8 of its side, 1/4, ... by the square of their channels."""
    return sum((size >> 3 - i) ** 2 * width**2 for i, width in enumerate(widths))


Schedule = Annotated[
    Literal["constant", "warm-up", "cyclical"],
    Field(title="Schedule of beta", description="How beta reaches its weight", json_schema_extra=MORE),
]
FreeBits = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        title="Free bits",
        description="Nats that each latent dimension may carry at no cost",
        json_schema_extra=MORE,
    ),
]
AdamWPeak = Annotated[float, Field(gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")]


class BoundTraining(BaseModel):
    """How a network is trained on an evidence lower bound."""

    batch_size: BatchSize = 64
    learning_rate: AdamWPeak = 1e-3
    beta: float = Field(
        1.0, ge=0, le=100, title="Beta", description="Weight of the KL divergence: more gives smoother, vaguer pictures"
    )
    schedule: Schedule = "warm-up"
    free_bits: FreeBits = 0.02
    perceptual_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Perceptual weight",
        description="Weight of the feature loss",
        json_schema_extra=MORE,
    )


RAMP = 0.1  # of a training, in which the late losses rise
CRITIC_BYTES_A_PIXEL = 1300  # measured: 159 MiB more at 32 pictures of 64 px
CRITIC_SPEED = 0.77  # measured: of a run without it
CALM = 0.3  # of the learning rate beside a discriminator, whose judgement wavers; seen in mixing, with one of patches:
# at the whole of it the features' distance rose by a fifth, and fell again only as the rate did


class SharpenedTraining(BaseModel):
    """How a discriminator joins the training of an autoencoder."""

    adversarial_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Adversarial weight",
        description="Weight of a feature discriminator: sharper, less exact; 0 turns it off",
        json_schema_extra=MORE,
    )
    late_from: float = Field(
        0.5,
        ge=0,
        lt=1,
        title="Late losses from",
        description="Part of the training after which the sharpness losses are added",
        json_schema_extra=MORE,
    )

    def ramp(self, progress: float) -> float:
        """How much the late losses count at this part of the training: 0, then a ramp, then 1."""
        return min(1.0, max(0.0, (progress - self.late_from) / RAMP))

    def lr_factor(self, progress: float) -> float:
        """How much of the learning rate is left at this part of the training."""
        return 1 - (1 - CALM) * self.ramp(progress) if self.is_sharpened else 1.0

    @property
    def is_sharpened(self) -> bool:
        """Then no distance to the originals says which state is the best: they rise as pictures get sharper."""
        return self.adversarial_weight > 0

    def cost_of(self, size: int, without: TrainingCost) -> TrainingCost:
        """What training takes, given what it takes without the discriminator, of pictures of `size` pixels' side."""
        if not self.is_sharpened:
            return without
        return replace(
            without,
            item_bytes=without.item_bytes + max(size, SMALLEST_JUDGED) ** 2 * CRITIC_BYTES_A_PIXEL,
            items_per_second=without.items_per_second * CRITIC_SPEED,
        )
