"""Parameters and task of the upscaler; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.autoencoders.latents_spec import CELL
from models.autoencoders.shared_spec import SharpenedTraining
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.tasks import Task, images
from models.contract.training_spec import MORE, BatchSize, EMADecay, PerceptualWeight
from models.contract.upscaling import IMAGE_UPSCALING, UpscalingParams, upscaling_cost

FACTOR = 4
SEEN = 48  # pixels; a tile of 23 dense blocks then differs from the whole by a 255th at most
ITEMS_PER_SECOND = 40.0  # measured: crops of 32 px by the default network, over the speed of that machine


class UpscalingConfig(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid")

    architecture: Literal["residual", "compact", "rrdb"] = Field(
        "residual", description="Residual blocks of our own, or as in Real-ESRGAN: plain convolutions, or dense blocks"
    )
    width: int = Field(64, ge=8, le=512, multiple_of=4, description="Channels at the size that is given")
    blocks: int = Field(8, ge=1, le=64, description="Residual blocks, plain convolutions, or dense blocks")
    growth: int = Field(32, ge=4, le=128, description="Channels that a convolution of a dense block adds")

    @property
    def reach(self) -> int:
        """Pixels around a pixel that decide what it becomes: of dense blocks those that do so visibly."""
        return {"residual": 2 * self.blocks + 3, "compact": self.blocks + 3, "rrdb": SEEN}[self.architecture]

    @property
    def work(self) -> int:
        """Products that a pixel of the small picture takes."""
        square = 9 * self.width**2
        if self.architecture != "rrdb":
            return square * self.blocks * (2 if self.architecture == "residual" else 1)
        dense = 9 * sum((self.width + i * self.growth) * (self.growth if i < 4 else self.width) for i in range(5))
        return 3 * self.blocks * dense + square * (2 + 4 + 16 + 16)


class UpscalingTraining(SharpenedTraining):
    """How an upscaler is trained: on large pictures, and what is left of them when they are made small."""

    model_config = ConfigDict(extra="forbid")

    network: UpscalingConfig = UpscalingConfig()
    autoencoder: str | None = Field(
        None,
        title="Autoencoder",
        description="Checkpoint whose traces in what models draw are mended too; empty: none",
        json_schema_extra={"checkpoint": "fsq-autoencoder", "more": True},
    )
    start_from: str | None = start_field("image-upscaler")
    size: int = Field(
        256,
        ge=64,
        le=1024,
        multiple_of=4,
        title="Size",
        description="Side of a picture",
        json_schema_extra={"unit": "px"},
    )
    crop: int = Field(
        32, ge=16, le=128, title="Crop", description="Side of what is enlarged in training", json_schema_extra=MORE
    )
    batch_size: BatchSize = 16
    learning_rate: float = Field(1e-3, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    perceptual_weight: PerceptualWeight = 0.05
    damage: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Damage",
        description="Part of the small pictures that are blurred, noisy or compressed, to be mended too",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999

    @model_validator(mode="after")
    def crop_fits(self) -> UpscalingTraining:
        if FACTOR * self.crop > self.size:
            raise ValueError(f"a crop is at most a {FACTOR}th of the size")
        if self.autoencoder and self.size % (CELL * FACTOR):
            raise ValueError(f"with an autoencoder the size is a multiple of {CELL * FACTOR}")
        return self


def cost(params: UpscalingTraining) -> TrainingCost:
    """Every block works at the small size; the feature losses at the large one."""
    n, usual = params.network, UpscalingTraining()
    share = n.work * params.crop**2 / (usual.network.work * usual.crop**2)
    maps = {"residual": 1, "compact": 1, "rrdb": 5}[n.architecture]  # that a block keeps
    without = TrainingCost(
        fixed_bytes=480 * 2**20,
        item_bytes=params.crop**2 * (n.width * n.blocks * maps * 25 + FACTOR**2 * 1800),
        items_per_second=ITEMS_PER_SECOND / share,
    )
    return params.cost_of(FACTOR * params.crop, without)


def picture_size(params: UpscalingTraining, card_of: Callable[[str], dict[str, Any]]) -> int:
    return params.size


FAMILIES = [
    Family(
        "image-upscaler",
        "Upscaler",
        "Held-out pictures made small, enlarged again, and as they were",
        tasks=(
            Task(
                IMAGE_UPSCALING,
                "Enlarge",
                UpscalingParams,
                inputs=images(1, 1),
                cost=upscaling_cost,
                batch_key=lambda params, sizes: "alone",
            ),
        ),
        sampler="models.upscaling.sample",
        adopter="models.upscaling.adopt",
        training=UpscalingTraining,
        trainer="models.upscaling.train",
        evaluator="models.upscaling.evaluate",
        presets=(
            Preset("quick", "Quick look", 500),
            Preset("good", "Good", 5000),
            Preset("best", "Best", 40_000, {"adversarial_weight": 0.05}),
        ),
        picture_size=picture_size,
        cost=cost,
        supports_early_stopping=lambda params: not params.is_sharpened,
    )
]
