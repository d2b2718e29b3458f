"""Parameters and tasks of the flow transformer; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import Field, ValidationError, model_validator

from models.autoencoders.spec import KLConfig
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.message import Message
from models.contract.painting import (
    IMAGE_TO_IMAGE,
    INPAINTING,
    MASK,
    OUTPAINTING,
    PICTURE,
    REFERENCE,
    BeyondParams,
    negative_prompt_field,
    other_sizes,
    outpainting_cost,
    steps_field,
    strength_field,
)
from models.contract.tasks import TEXT_TO_IMAGE, PromptedParams, SamplingParams, Task, images
from models.contract.training_spec import MORE, PromptedTraining
from models.parts.trunk_spec import TrunkShape

REFERENCE_WIDTH = 432  # numbers that say what is seen of a reference picture
IMAGES_PER_SECOND = 46.0  # measured: the default network, over the speed of that machine by `models.training.gauge`


class FlowParams(PromptedParams):
    """A prompt, and how the way from noise to a picture is walked."""

    negative_prompt: str = negative_prompt_field()
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

    strength: float = Field(
        0.6, ge=0.05, le=1, title="Strength", description="How far from the picture; 1 gives a different one"
    )
    steps: int = steps_field(8, 2, 100)


class FlowConfig(TrunkShape):
    """Shape of the network."""

    size: int = Field(64, ge=4, le=512, description="Side of what it draws: pixels, or cells of a latent grid")
    channels: int = Field(3, ge=1, le=64, description="Of a pixel, or of a cell")
    patch: int = Field(8, ge=1, le=32, description="Side of a patch")
    bottleneck: int = Field(128, ge=8, le=4096, description="Dimensions that a patch is first projected to")
    reference: bool = Field(
        False, strict=True, description="Whether a picture can be given to go by, beside the prompt"
    )
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
    reference_share: float = Field(
        0.2,
        ge=0,
        le=1,
        title="Reference share",
        description="Share trained with a picture to go by, half of it without a prompt",
        json_schema_extra=MORE,
    )
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
    tables = n.width * (n.reference * REFERENCE_WIDTH + n.text_vocabulary + n.sentence_width + 9 * n.width)
    outer = 4 * n.grid**2 * n.outer_width * n.outer_blocks * 8 if n.outer_blocks else 0
    return TrainingCost(
        fixed_bytes=520 * 2**20 + 24 * (encoder + layers + tables),
        item_bytes=4 * (n.grid**2 * n.layers * (12 * n.width + 6 * n.hidden) + outer),
        items_per_second=IMAGES_PER_SECOND * work(FlowConfig()) / work(n),
    )


WORDS = (REFERENCE,)  # what a prompt may be given with

TASKS = (
    Task(TEXT_TO_IMAGE, "Text to image", FlowParams, inputs=WORDS),
    Task(IMAGE_TO_IMAGE, "Draw a picture again", ImageToImageParams, inputs=(PICTURE, *WORDS)),
    Task("image-variation", "More like this", FlowVariationParams, inputs=images(1, 1)),
    Task(
        INPAINTING,
        "Draw a part anew",
        InpaintingParams,
        inputs=(PICTURE, MASK, *WORDS),
        problem=other_sizes,
        keeps=True,
    ),
    Task(
        OUTPAINTING,
        "Draw beyond the edges",
        OutpaintingParams,
        inputs=(PICTURE, *WORDS),
        cost=outpainting_cost,
        keeps=True,
    ),
)


WITHOUT_REFERENCE = tuple(
    replace(task, inputs=tuple(each for each in task.inputs if each != REFERENCE)) for task in TASKS
)


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
        picture_size=picture_size,
        cost=cost,
        problem=problem,
    )
]
