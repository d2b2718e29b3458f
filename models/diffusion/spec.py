"""Parameters and tasks of the flow transformer; torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from models.autoencoders.latents_spec import CardOf, autoencoder_field, picture_size_of, problem_of
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.message import Message
from models.contract.painting import (
    BeyondParams,
    negative_prompt_field,
    painting_tasks,
    steps_field,
    strength_field,
    variation_field,
    without_reference,
)
from models.contract.tasks import AnyText, PromptedParams, SamplingParams, Task
from models.contract.training_spec import MORE, PromptedTraining, ReferenceShare
from models.parts.prompt_spec import REFERENCE_WIDTH, PromptShape

IMAGES_PER_SECOND = 46.0  # measured: the default network, over the speed of that machine by `models.training.gauge`


class FlowParams(PromptedParams):
    """A prompt, and how the way from noise to a picture is walked."""

    negative_prompt: AnyText = negative_prompt_field()
    guidance_scale: float = Field(
        3.0,
        ge=1,
        le=15,
        title="Guidance",
        allow_inf_nan=False,
        description="1 draws freely; higher keeps closer to the prompt",
        json_schema_extra={"step": 0.5, "more": True},
    )
    steps: int = steps_field(8, 2, 100)


class ImageToImageParams(FlowParams):
    """A picture drawn again, after a prompt."""

    strength: float = strength_field(0.6)


class InpaintingParams(ImageToImageParams):
    """What a mask marks, drawn after a prompt; the rest of the picture stays as it is."""

    strength: float = strength_field(1.0)


class OutpaintingParams(BeyondParams, FlowParams):
    """A picture that goes on beyond its edges, after a prompt; the picture itself stays as it is."""


class FlowVariationParams(SamplingParams):
    """More like one picture, without words."""

    strength: float = variation_field(0.6)
    steps: int = steps_field(8, 2, 100)


class FlowConfig(PromptShape):
    """Shape of the network."""

    layers: int = Field(6, ge=1, le=64, description="Of the picture's patches")
    hidden: int = Field(960, ge=32, le=16384, description="Width of the feed-forward layers")
    size: int = Field(64, ge=4, le=512, description="Side of what it draws: pixels, or cells of a latent grid")
    channels: int = Field(3, ge=1, le=64, description="Of a pixel, or of a cell")
    patch: int = Field(8, ge=1, le=32, description="Side of a patch")
    bottleneck: int = Field(128, ge=8, le=4096, description="Dimensions that a patch is first projected to")

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.size // self.patch

    @property
    def weights(self) -> tuple[int, int]:
        """Of the prompt's encoder, and of what patches pass."""
        encoder = self.encoder_layers * (4 * self.width**2 + 2 * self.width * self.encoder_hidden)
        layers = self.layers * (6 * self.width**2 + 2 * self.width * self.hidden + 9 * self.hidden)
        return encoder, layers

    @model_validator(mode="after")
    def parts_fit(self) -> FlowConfig:
        if self.size % self.patch:
            raise ValueError("size must be a multiple of patch")
        return self


class FlowTraining(PromptedTraining):
    """How the flow transformer is trained."""

    network: FlowConfig = FlowConfig()
    autoencoder: str | None = autoencoder_field()
    start_from: str | None = start_field("flow-transformer")
    reference_share: ReferenceShare = 0.2
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


def problem(params: FlowTraining, card_of: CardOf) -> Message | None:
    return problem_of(params.autoencoder, params.network.size, params.network.channels, card_of)


def work(n: FlowConfig) -> int:
    """What a picture costs, in proportion: weights that its patches pass."""
    encoder, layers = n.weights
    return n.prompt_length // 2 * encoder + n.grid**2 * layers


def cost(params: FlowTraining) -> TrainingCost:
    n = params.network
    encoder, layers = n.weights
    tables = n.width * (n.reference * REFERENCE_WIDTH + n.text_vocabulary + n.sentence_width + 9 * n.width)
    return TrainingCost(
        fixed_bytes=520 * 2**20 + 24 * (encoder + layers + tables),
        item_bytes=4 * (n.grid**2 * n.layers * (12 * n.width + 6 * n.hidden)),
        items_per_second=IMAGES_PER_SECOND * work(FlowConfig()) / work(n),
    )


TASKS = painting_tasks(FlowParams, ImageToImageParams, FlowVariationParams, InpaintingParams, OutpaintingParams)
WITHOUT_REFERENCE = without_reference(TASKS)


def tasks_of(card: dict[str, Any]) -> tuple[Task, ...]:
    """Only one that was trained with reference pictures takes one."""
    return TASKS if card["config"].get("reference") else WITHOUT_REFERENCE


FAMILIES = [
    Family(
        "flow-transformer",
        "Flow transformer",
        "The watched prompts",
        tasks=TASKS,
        tasks_of=tasks_of,
        sampler="models.diffusion.sample",
        training=FlowTraining,
        trainer="models.diffusion.train",
        evaluator="models.diffusion.evaluate",
        presets=(
            Preset("quick", "Quick look", 300, {"batch_size": 32}),
            Preset("good", "Good", 5000),
            Preset("best", "Best", 30000),
        ),
        picture_size=lambda params, card_of: picture_size_of(params.autoencoder, params.network.size, card_of),
        cost=cost,
        problem=problem,
    )
]
