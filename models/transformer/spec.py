"""Parameters and tasks of the encoder-decoder text-to-image transformer; torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pydantic import Field, ValidationError

from models.autoencoders.spec import FSQConfig
from models.contract.card import AUTOENCODER, beneath
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.message import Message
from models.contract.painting import (
    BeyondParams,
    negative_prompt_field,
    painting_tasks,
    strength_field,
    variation_field,
    without_reference,
)
from models.contract.tasks import AnyText, PromptedParams, SamplingParams, Task
from models.contract.training_spec import MORE, AdamWRate, BatchSize, EMADecay, PromptedTraining, ReferenceShare, Views
from models.parts.prompt_spec import REFERENCE_WIDTH, PromptShape

IMAGES_PER_SECOND = 62.0  # measured: the default network on two CPU cores


class FreedomParams(SamplingParams):
    """How freely the transformer draws."""

    guidance_scale: float = Field(
        3.0,
        ge=1,
        le=15,
        title="Guidance",
        allow_inf_nan=False,
        description="1 draws freely; higher keeps closer to the prompt",
        json_schema_extra={"step": 0.5, "more": True, "most": 11},
    )
    temperature: float = Field(
        0.6,
        ge=0.1,
        le=2,
        title="Temperature",
        allow_inf_nan=False,
        description="Lower is calmer, higher is wilder",
        json_schema_extra={"step": 0.05, "more": True},
    )
    top_k: int = Field(
        100,
        ge=1,
        le=1000,
        title="Top k",
        strict=True,
        description="Each token is chosen from the k likeliest; matters at low guidance and high temperature",
        json_schema_extra=MORE,
    )
    candidates: int = Field(
        1,
        ge=1,
        le=8,
        title="Candidates",
        strict=True,
        description="So many are drawn, and the one that the model itself finds likeliest is kept",
        json_schema_extra=MORE,
    )


class TextToImageParams(FreedomParams, PromptedParams):
    """A prompt, and how freely the transformer draws it."""

    negative_prompt: AnyText = negative_prompt_field()


class ImageToImageParams(TextToImageParams):
    """A picture drawn again, after a prompt."""

    strength: float = strength_field(0.6)


class InpaintingParams(TextToImageParams):
    """What a mask marks, drawn after a prompt; the rest of the picture stays as it is."""

    strength: float = strength_field(1.0)


class OutpaintingParams(BeyondParams, TextToImageParams):
    """A picture that goes on beyond its edges, after a prompt; the picture itself stays as it is."""


class MoreLikeThisParams(FreedomParams):
    """More like one picture, without words."""

    strength: float = variation_field(0.7)


class TransformerConfig(PromptShape):
    """Shape of the network."""

    decoder_layers: int = Field(5, ge=1, le=64, description="Of the picture's tokens")
    decoder_hidden: int = Field(640, ge=32, le=16384, description="Width of the decoder's feed-forward layers")
    grid: int = Field(8, ge=1, le=64, description="Tokens along one side of a picture")
    image_vocabulary: int = Field(1000, ge=2, le=65536, description="Codebook size of the autoencoder")
    text_vocabulary: int = Field(1536, ge=300, le=65536, description="Sub-word tokens")
    any_order: bool = Field(
        False, strict=True, description="Whether it draws what is missing of a picture, or whole pictures only"
    )


class TransformerTraining(PromptedTraining):
    """How the transformer is trained."""

    network: TransformerConfig = TransformerConfig()
    autoencoder: str = Field(
        "drawings-fsq",
        title="Autoencoder",
        description="Checkpoint that turns pictures into tokens",
        json_schema_extra={"checkpoint": "fsq-autoencoder", "more": True},
    )
    start_from: str | None = start_field("text-to-image-transformer")
    batch_size: BatchSize = 96
    adamw_learning_rate: AdamWRate = 3e-3
    views: Views = 16
    ema_decay: EMADecay = 0.998
    token_noise: float = Field(
        0.4,
        ge=0,
        le=1,
        title="Token noise",
        description="Up to this share of a picture's input tokens is replaced",
        json_schema_extra=MORE,
    )
    plain_share: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Plain share",
        description="Share trained on the unaltered picture",
        json_schema_extra=MORE,
    )
    gap_share: float = Field(
        0.25,
        ge=0,
        le=1,
        title="Gap share",
        description="Share trained to draw what is missing of a picture, where the network draws in any order",
        json_schema_extra=MORE,
    )
    reference_share: ReferenceShare = 0.15


def problem(params: TransformerTraining, card_of: Callable[[str], dict[str, Any]]) -> Message | None:
    """The autoencoder's tokens must be the network's."""
    autoencoder, network = card_of(params.autoencoder), params.network
    if params.start_from and not shares_tokens_with(card_of(params.start_from), autoencoder):
        return Message(
            "{name} draws with tokens other than those of {autoencoder}",
            name=params.start_from,
            autoencoder=params.autoencoder,
        )
    try:
        shape = FSQConfig.model_validate(autoencoder["config"])
    except (KeyError, ValidationError):
        return Message("The card of {name} does not describe an autoencoder with tokens", name=params.autoencoder)
    grid, vocabulary = shape.size // 8, math.prod(shape.levels)
    if (grid, vocabulary) != (network.grid, network.image_vocabulary):
        return Message(
            "{name} makes {grid} x {grid} tokens of {vocabulary}; set grid and image_vocabulary to match",
            name=params.autoencoder,
            grid=grid,
            vocabulary=vocabulary,
        )
    return None


def shares_tokens_with(card: dict[str, Any], autoencoder: dict[str, Any]) -> bool:
    """Whether the transformer of a card was trained on the tokens of this autoencoder; both are cards."""
    named = beneath(card, AUTOENCODER)
    return named is not None and named["sha256"] in (autoencoder["sha256"], *autoencoder.get("same_latents_as", []))


def layers(n: TransformerConfig) -> tuple[int, int]:
    """Weights of the encoder's layers, and of the decoder's."""
    encoder = n.encoder_layers * (4 * n.width**2 + 3 * n.width * n.encoder_hidden)
    decoder = n.decoder_layers * (8 * n.width**2 + 3 * n.width * n.decoder_hidden)
    return encoder, decoder


def work(n: TransformerConfig) -> int:
    """What a picture costs, in proportion: weights that its tokens pass."""
    encoder, decoder = layers(n)
    return n.prompt_length * encoder + n.grid**2 * (decoder + n.width * n.image_vocabulary)


def cost(params: TransformerTraining) -> TrainingCost:
    """Fitted to the peak memory of four runs, 6 M and 40 M parameters, batches of 8 to 128, within a tenth."""
    n = params.network
    encoder, decoder = layers(n)
    tables = n.width * (n.text_vocabulary + 2 * n.image_vocabulary + n.sentence_width + n.reference * REFERENCE_WIDTH)
    activations = n.grid**2 * n.decoder_layers * (n.width + n.decoder_hidden)
    logits = n.grid**2 * n.image_vocabulary
    return TrainingCost(
        fixed_bytes=520 * 2**20 + 33 * (encoder + decoder + tables),
        item_bytes=20 * activations + 190 * logits,
        items_per_second=IMAGES_PER_SECOND * work(TransformerConfig()) / work(n),
    )


TASKS = painting_tasks(TextToImageParams, ImageToImageParams, MoreLikeThisParams, InpaintingParams, OutpaintingParams)


def tasks_of(card: dict[str, Any]) -> tuple[Task, ...]:
    """Only one that draws in any order draws parts; only one that was trained with reference pictures takes one."""
    tasks = TASKS if card["config"].get("reference") else without_reference(TASKS)
    return tasks if card["config"].get("any_order") else tasks[:1]


FAMILIES = [
    Family(
        "text-to-image-transformer",
        "Encoder-decoder text-to-image transformer",
        "The watched prompts",
        tasks=TASKS,
        tasks_of=tasks_of,
        sampler="models.transformer.sample",
        training=TransformerTraining,
        trainer="models.transformer.train",
        evaluator="models.transformer.evaluate",
        presets=(
            Preset("quick", "Quick look", 300, {"batch_size": 32}),
            Preset("good", "Good", 2500, {"batch_size": 64}),
            Preset("best", "Best", 8000, {"batch_size": 64}),
        ),
        picture_size=lambda params, card_of: int(card_of(params.autoencoder)["config"].get("size", 64)),
        cost=cost,
        problem=problem,
    )
]
