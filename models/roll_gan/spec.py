"""Parameters and tasks of the GAN of music; torch-free."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.contract.composing import GENERATION, ROLL_TASKS, DirectedParams
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.preparation import ScorePreparation
from models.contract.tasks import Task
from models.contract.training_spec import MORE, EMADecay, PenaltyEvery
from models.contract.values import MUSIC

ROLLS_PER_SECOND = 160.0  # measured: the default networks, over the speed of that machine by `models.training.gauge`


class RollGANConfig(BaseModel):
    """Shape of the generator; the discriminator mirrors it."""

    model_config = ConfigDict(extra="forbid")

    bars: int = Field(8, ge=1, le=32, description="Of four quarters that it writes at once")
    voices: int = Field(4, ge=1, le=8, description="That sing at once", json_schema_extra={"of_collection": True})
    latent: int = Field(64, ge=2, le=1024, description="Latent dimensions of a piece")
    width: int = Field(128, ge=16, le=2048, multiple_of=8, description="Channels of the networks")
    blocks: int = Field(2, ge=1, le=16, description="Residual blocks a resolution")


class RollGANTraining(BaseModel):
    """How it is trained."""

    model_config = ConfigDict(extra="forbid")
    removed: ClassVar[set[str]] = {"softness"}  # of the choices that gradients saw before

    network: RollGANConfig = RollGANConfig()
    start_from: str | None = start_field("roll-gan")
    objective: Literal["minimax", "non-saturating", "hinge", "relativistic"] = Field(
        "relativistic", title="Objective", description="Loss that the two networks train on"
    )
    batch_size: int = Field(32, ge=2, le=4096, title="Batch size", description="Pieces per step")
    learning_rate: float = Field(
        4e-4, gt=0, le=1, title="Learning rate", description="Peak rate of Adam, for both networks"
    )
    gamma: float = Field(
        1.0, ge=0, le=1000, title="Gradient penalty", description="Weight of R1 and R2", json_schema_extra=MORE
    )
    penalty_every: PenaltyEvery = 4
    certainty: float = Field(
        7.0,
        ge=1,
        le=20,
        title="Certainty",
        description="Logit of a real note in the noise that the discriminator sees all notes in, which fades at last: "
        "at 7, one in twenty is drowned",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999


def cost(params: RollGANTraining) -> TrainingCost:
    n, usual = params.network, RollGANConfig()
    share = n.bars * n.blocks * n.width**2 / (usual.bars * usual.blocks * usual.width**2)
    return TrainingCost(
        fixed_bytes=450 * 2**20 + 60 * n.blocks * n.width**2 * 20,
        item_bytes=n.bars * 16 * (n.blocks * 20 * n.width + 60 * n.voices * 63),
        items_per_second=ROLLS_PER_SECOND / share,
    )


FAMILIES = [
    Family(
        "roll-gan",
        "GAN of music",
        "Composed from the same latents each time",
        tasks=(
            Task(GENERATION, "Compose", DirectedParams, gives=MUSIC, live=True),
            *ROLL_TASKS,
        ),
        sampler="models.roll_gan.sample",
        training=RollGANTraining,
        trainer="models.roll_gan.train",
        evaluator="models.roll_gan.evaluate",
        presets=(
            Preset("quick", "Quick look", 500),
            Preset("good", "Good", 10_000),
            Preset("best", "Best", 40_000),
        ),
        cost=cost,
        learns=MUSIC,
        preparation=ScorePreparation,
    )
]
