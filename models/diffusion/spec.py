"""Parameters and tasks of the flow transformer; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, ValidationError, model_validator

from models.autoencoders.spec import KLConfig
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.message import Message
from models.contract.tasks import TEXT_TO_IMAGE, PromptedParams, Task
from models.contract.training_spec import MORE, PromptedTraining
from models.parts.trunk_spec import TrunkShape

IMAGES_PER_SECOND = 46.0  # measured: the default network, over the speed of that machine by `models.training.gauge`


class FlowParams(PromptedParams):
    """A prompt, and how the way from noise to a picture is walked."""

    guidance_scale: float = Field(
        3.0,
        ge=1,
        le=15,
        title="Guidance",
        allow_inf_nan=False,
        description="1 draws freely; higher keeps closer to the prompt",
        json_schema_extra={"step": 0.5, "more": True},
    )
    steps: int = Field(
        10,
        ge=2,
        le=100,
        title="Steps",
        strict=True,
        description="From noise to the picture; more is finer and slower",
        json_schema_extra=MORE,
    )


class FlowConfig(TrunkShape):
    """Shape of the network."""

    size: int = Field(64, ge=4, le=512, description="Side of what it draws: pixels, or cells of a latent grid")
    channels: int = Field(3, ge=1, le=64, description="Of a pixel, or of a cell")
    patch: int = Field(8, ge=1, le=32, description="Side of a patch")
    bottleneck: int = Field(128, ge=8, le=4096, description="Dimensions that a patch is first projected to")
    outer_blocks: int = Field(
        0, ge=0, le=8, description=("Convolutional blocks before and after, on a grid twice as fine")
    )
    outer_width: int = Field(128, ge=8, le=1024, multiple_of=8, description="Channels of the outer blocks")

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.size // self.patch

    @model_validator(mode="after")
    def parts_fit(self) -> FlowConfig:
        if self.size % self.patch:
            raise ValueError("size must be a multiple of patch")
        if self.outer_blocks and self.patch % 2:
            raise ValueError("convolutional blocks need an even patch")
        return self


class FlowTraining(PromptedTraining):
    """How the flow transformer is trained."""

    network: FlowConfig = FlowConfig()
    autoencoder: str | None = Field(
        None,
        title="Autoencoder",
        description="Checkpoint whose latents are drawn; empty: draws pixels",
        json_schema_extra={"checkpoint": "kl-autoencoder", "more": True},
    )
    start_from: str | None = start_field("flow-transformer")
    time_mean: float = Field(
        -0.8,
        ge=-5,
        le=5,
        title="Time, mean",
        description="Of the timesteps in training, before the sigmoid; less is noisier",
        json_schema_extra=MORE,
    )
    time_std: float = Field(
        0.8, gt=0, le=5, title="Time, spread", description="Of the timesteps in training", json_schema_extra=MORE
    )


def problem(params: FlowTraining, card_of: Callable[[str], dict[str, Any]]) -> Message | None:
    """What it draws must be what the autoencoder reads."""
    if params.autoencoder is None:
        return None if params.network.channels == 3 else Message("Pixels have 3 channels")
    try:
        shape = KLConfig.model_validate(card_of(params.autoencoder)["config"])
    except (KeyError, ValidationError):
        return Message("The card of {name} does not describe an autoencoder with real latents", name=params.autoencoder)
    side = shape.size // 8
    if (side, shape.latent) != (params.network.size, params.network.channels):
        return Message(
            "{name} makes {side} x {side} cells of {channels}; set size and channels to match",
            name=params.autoencoder,
            side=side,
            channels=shape.latent,
        )
    return None


def picture_size(params: FlowTraining, card_of: Callable[[str], dict[str, Any]]) -> int:
    if params.autoencoder is None:
        return params.network.size
    return int(card_of(params.autoencoder)["config"].get("size", 64))


def weights(n: FlowConfig) -> tuple[int, int]:
    """Of the prompt's encoder, and of what patches pass."""
    encoder, layers = n.weights
    return encoder, layers + 8 * n.outer_blocks * 18 * n.outer_width**2


def work(n: FlowConfig) -> int:
    """What a picture costs, in proportion: weights that its patches pass."""
    encoder, layers = weights(n)
    return n.prompt_length // 2 * encoder + n.grid**2 * layers


def cost(params: FlowTraining) -> TrainingCost:
    n = params.network
    encoder, layers = weights(n)
    tables = n.width * (n.text_vocabulary + n.sentence_width + 9 * n.width)
    outer = 4 * n.grid**2 * n.outer_width * n.outer_blocks * 8 if n.outer_blocks else 0
    return TrainingCost(
        fixed_bytes=520 * 2**20 + 24 * (encoder + layers + tables),
        item_bytes=4 * (n.grid**2 * n.layers * (12 * n.width + 6 * n.hidden) + outer),
        items_per_second=IMAGES_PER_SECOND * work(FlowConfig()) / work(n),
    )


FAMILIES = [
    Family(
        "flow-transformer",
        "Flow transformer",
        "The watched prompts",
        tasks=(Task(TEXT_TO_IMAGE, "Text to image", FlowParams),),
        sampler="models.diffusion.sample",
        training=FlowTraining,
        trainer="models.diffusion.train",
        evaluator="models.diffusion.evaluate",
        presets=(
            Preset("quick", "Quick look", 300, {"batch_size": 32}),
            Preset("good", "Good", 5000),
            Preset("best", "Best", 30000),
        ),
        picture_size=picture_size,
        cost=cost,
        problem=problem,
    )
]
