"""Parameters of the GAN; torch-free."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, model_validator

from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.latent_spec import (
    SMALLEST_GRID,
    SMALLEST_JUDGED,
    LatentConfig,
    LatentTraining,
    label_field,
    truncation_field,
)
from models.contract.tasks import INTERPOLATION, VARIATION, SamplingParams, Task
from models.contract.training_spec import MORE, PenaltyEvery

Objective = Literal["relativistic", "non-saturating", "minimax", "hinge"]
NAMED_LATER = {"architecture", "growth"}
PENALTY_AT_32 = 0.2
DIRECTIONS = 8  # of the latent space, that are shown
BYTES_A_CHANNEL = {"convolutional": 480, "residual": 150}  # measured, of a picture in training
PROJECTED_BYTES_A_PIXEL = 4000


class GANConfig(LatentConfig):
    """Shape of the generator; the discriminator has as many channels on the same grids."""

    architecture: Literal["convolutional", "residual"] = Field(
        "convolutional",
        description="convolutional gets good sooner; residual is R3GAN's",
    )
    latent: int = Field(64, ge=2, le=1024, description="Latent dimensions that a picture is drawn from")
    width: int = Field(64, ge=16, le=1024, multiple_of=16, description="Channels of the finest grid")
    max_width: int = Field(256, ge=16, le=2048, multiple_of=16, description="Channels of the coarsest grid, at most")
    blocks: int = Field(
        1, ge=1, le=8, description=("Residual blocks per grid; in a convolutional discriminator, on the coarsest only")
    )

    @property
    def work(self) -> int:
        """Of the blocks, and of the convolutions of 4 x 4 cells that lead from grid to grid."""
        between = sum(
            (SMALLEST_GRID << i) ** 2 * coarse * fine for i, (coarse, fine) in enumerate(pairwise(self.widths))
        )
        return super().work + (4 * between if self.architecture == "convolutional" else 0)

    @model_validator(mode="before")
    @classmethod
    def of_before(cls, given: Any) -> Any:
        """What was kept, and so names all else, before there were two architectures is of the residual one; before
        growth could be chosen, widths doubled.
        """
        if isinstance(given, dict) and cls.model_fields.keys() - given.keys() in ({"architecture"}, NAMED_LATER):
            return {"architecture": "residual", "growth": 2, **given}
        return given


# Pictures a second on two CPU cores, a penalty every eighth step, and of which network.
MEASURED = {
    "convolutional": (155.0, GANConfig()),
    "residual": (84.0, GANConfig(architecture="residual", width=32, growth=4, max_width=320, blocks=2)),
}


class GANTraining(LatentTraining):
    """How a GAN is trained."""

    network: GANConfig = GANConfig()
    start_from: str | None = start_field("gan")
    discriminator: Literal["own", "projected"] = Field(
        "own",
        title="Discriminator",
        description=(
            "projected: judges features of a network pretrained on photographs; for a few hundred "
            "pictures, with the hinge loss and no penalty"
        ),
    )
    objective: Objective = Field("relativistic", title="Objective", description=("Loss that the two networks train on"))
    batch_size: int = Field(32, ge=2, le=4096, title="Batch size", description="Pictures per step")
    learning_rate: float = Field(
        5e-4, gt=0, le=1, title="Learning rate", description=("Peak rate of Adam, for both networks")
    )
    gamma: float | None = Field(
        None,
        ge=0,
        le=1000,
        title="Gradient penalty",
        description="Weight of R1 and R2; empty: 0.2 at 32 px, scaled with the number of pixels",
    )
    penalty_every: PenaltyEvery = 4
    augmentation: Literal["none", "fixed", "adaptive"] = Field(
        "adaptive",
        title="Augmentation",
        description="Changes to what the discriminator sees, so that a few pictures are not memorised",
        json_schema_extra=MORE,
    )
    strength: float = Field(
        0.3,
        ge=0,
        le=1,
        title="Strength of augmentation",
        description="How often a picture is changed; the maximum if adaptive",
        json_schema_extra=MORE,
    )

    @property
    def penalty(self) -> float:
        """It grows with the number of pixels, as that of Karras et al. (2020, StyleGAN2-ADA) does."""
        return PENALTY_AT_32 * (self.size / 32) ** 2 if self.gamma is None else self.gamma


class UnconditionalImage(SamplingParams):
    """A picture from random numbers."""

    truncation: float = truncation_field()
    label: str | None = label_field()


def picture_size(params: GANTraining, card_of: Any) -> int:
    return params.network.size


def cost(params: GANTraining) -> TrainingCost:
    """Activations of both networks with penalised gradients; the speed is that with a penalty every eighth step."""
    network = params.network
    rate, measured = MEASURED[network.architecture]
    side = max(network.size, SMALLEST_JUDGED)
    features = PROJECTED_BYTES_A_PIXEL * side**2 if params.discriminator == "projected" else 0
    return TrainingCost(
        fixed_bytes=450 * 2**20,
        item_bytes=round(network.cells * network.blocks * BYTES_A_CHANNEL[network.architecture]) + features,
        items_per_second=rate * measured.work / network.work,
    )


# Of ten pictures, at equal minutes, the own discriminator drew faces while the projected one had learnt them by heart.
FEW = {"augmentation": "fixed", "strength": 0.6}
# DiffAugment on every picture, and no gradient penalty: Sauer et al., "Projected GANs Converge Faster", 2021.
PROJECTED = {
    "discriminator": "projected",
    "objective": "hinge",
    "gamma": 0.0,
    "augmentation": "fixed",
    "strength": 1.0,
    "learning_rate": 2e-4,
}

FAMILIES = [
    Family(
        "gan",
        "GAN",
        "Drawn at random, each time from the same latents",
        tasks=(
            Task("unconditional-image-generation", "Random pictures", UnconditionalImage, live=True),
            VARIATION,
            INTERPOLATION,
        ),
        sampler="models.gan.sample",
        training=GANTraining,
        trainer="models.gan.train",
        evaluator="models.gan.evaluate",
        presets=(
            Preset("quick", "Quick look", 1500),
            Preset("few", "Few pictures", 4000, FEW),
            Preset("good", "Good", 15_000),
            Preset("best", "Best", 60_000),
        ),
        picture_size=picture_size,
        cost=cost,
    )
]
