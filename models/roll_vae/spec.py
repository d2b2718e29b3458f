"""Parameters and tasks of the VAE of music; torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from models.autoencoders.shared_spec import AdamWPeak, FreeBits, Schedule
from models.contract.composing import GENERATION, ROLL_TASKS, RollGenerationParams
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.preparation import ScorePreparation
from models.contract.tasks import Task
from models.contract.training_spec import MORE, BatchSize, EMADecay
from models.contract.values import MUSIC
from models.parts.causal_spec import CausalShape

ROLLS_PER_SECOND = 45.0  # measured: the default network, over the speed of that machine by `models.training.gauge`


class RollConfig(CausalShape):
    """Shape of the network."""

    bars: int = Field(8, ge=1, le=32, description="Of four quarters that it hears and writes at once")
    voices: int = Field(4, ge=1, le=8, description="That sing at once", json_schema_extra={"of_collection": True})
    latent: int = Field(128, ge=2, le=1024, description="Latent dimensions of a piece")
    width: int = Field(160, ge=32, le=2048, multiple_of=8, description="Width of the residual streams")
    heads: int = Field(5, ge=1, le=64, description="Attention heads")
    hidden: int = Field(640, ge=32, le=8192, description="Width of the feed-forward layers")
    bar_layers: int = Field(2, ge=1, le=32, description="That look from bar to bar, on either side")
    layers: int = Field(2, ge=1, le=32, description="That write a bar")

    @property
    def weights(self) -> int:
        """Of the layers."""
        return (2 * self.bar_layers + self.layers) * (4 * self.width**2 + 2 * self.width * self.hidden)


class RollTraining(BaseModel):
    """How it is trained, on the evidence lower bound."""

    model_config = ConfigDict(extra="forbid")

    network: RollConfig = RollConfig()
    start_from: str | None = start_field("roll-vae")
    batch_size: BatchSize = 32
    learning_rate: AdamWPeak = 1e-3
    beta: float = Field(
        0.2,
        ge=0,
        le=100,
        title="Beta",
        description="Weight of the KL divergence: more gives smoother ways, vaguer bars",
    )
    schedule: Schedule = "cyclical"
    free_bits: FreeBits = 0.1
    hidden_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        title="Hidden tokens",
        description="Share of what was written that a bar is not told, so that it asks the latents",
        json_schema_extra=MORE,
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, title="Dropout", description="Against learning few pieces by heart", json_schema_extra=MORE
    )
    ema_decay: EMADecay = 0.999


def cost(params: RollTraining) -> TrainingCost:
    n, usual = params.network, RollConfig()
    tokens = n.bars * n.voices * 16
    share = tokens * n.weights / (usual.bars * usual.voices * 16 * usual.weights)
    return TrainingCost(
        fixed_bytes=480 * 2**20 + 16 * n.weights,
        item_bytes=4 * tokens * (n.layers * (10 * n.width + 3 * n.hidden) + 300),
        items_per_second=ROLLS_PER_SECOND / share,
    )


FAMILIES = [
    Family(
        "roll-vae",
        "VAE of music",
        "Held-out pieces above, as the model repeats them below",
        tasks=(
            Task(GENERATION, "Compose", RollGenerationParams, gives=MUSIC, live=True),
            *ROLL_TASKS,
        ),
        sampler="models.roll_vae.sample",
        training=RollTraining,
        trainer="models.roll_vae.train",
        evaluator="models.roll_vae.evaluate",
        presets=(
            Preset("quick", "Quick look", 300),
            Preset("good", "Good", 4000),
            Preset("best", "Best", 20_000),
        ),
        cost=cost,
        learns=MUSIC,
        preparation=ScorePreparation,
    ),
]
