"""Parameters of the autoencoders; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.base import (
    INTERPOLATION,
    MOST_MIXED,
    TEXT_TO_IMAGE,
    VARIATION,
    Family,
    Preset,
    PromptedParams,
    SamplingParams,
    Task,
    TrainingCost,
    Weights,
)
from models.latent_spec import LatentConfig, LatentTraining, label_field

IMAGES_PER_SECOND = 24.0  # measured: the default network at 64 px on two CPU cores
BYTES_A_CHANNEL = 46  # measured at batches of 8 to 64: peak memory within a tenth


VAE_IMAGES_PER_SECOND = 150.0
VAE_BYTES_A_CHANNEL = 60
MIXING_IMAGES_PER_SECOND = 40.0
MIXING_BYTES_A_PIXEL, MIXING_BYTES_A_CHANNEL = 600, 90

Width = Annotated[int, Field(ge=8, le=2048, multiple_of=8)]
LikelihoodName = Literal["gaussian", "laplace", "discretised-logistic"]


# --- a latent grid --------------------------------------------------------------------------------------------------


class SpatialConfig(BaseModel):
    """Shape of an autoencoder whose latent is a grid of an eighth of the picture's side."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(
        64, ge=16, le=512, multiple_of=8, description="Side of a picture", json_schema_extra={"unit": "px"}
    )
    widths: tuple[Width, Width, Width, Width] = Field(
        (160, 96, 48, 24), description="Channels at 1/8, 1/4, 1/2 and full size"
    )
    encoder_blocks: int = Field(2, ge=1, le=8, description="Residual blocks at a quarter of the size")
    decoder_blocks: int = Field(3, ge=1, le=8, description="Residual blocks at a quarter of the size")


class FSQConfig(SpatialConfig):
    """Shape of an FSQ autoencoder."""

    levels: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(
        (8, 5, 5, 5), min_length=1, max_length=8, description="Levels of each latent channel"
    )


class KLConfig(SpatialConfig):
    """Shape of a KL autoencoder."""

    latent: int = Field(4, ge=1, le=64, description="Channels of the latent")


class SpatialTraining(BaseModel):
    """How an autoencoder with a latent grid is trained."""

    model_config = ConfigDict(extra="forbid")

    batch_size: int = Field(32, ge=1, le=4096, title="Batch size", description="Pictures a step")
    learning_rate: float = Field(8e-4, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    perceptual_weight: float = Field(
        0.15,
        ge=0,
        le=10,
        title="Perceptual weight",
        description="Share of the feature loss",
        json_schema_extra={"more": True},
    )
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        title="EMA decay",
        description="Of the weights that are kept",
        json_schema_extra={"more": True},
    )


class FSQTraining(SpatialTraining):
    """How an FSQ autoencoder is trained."""

    network: FSQConfig = FSQConfig()


class KLTraining(SpatialTraining):
    """How a KL autoencoder is trained."""

    network: KLConfig = KLConfig()
    kl_weight: float = Field(1e-5, ge=0, le=1, title="KL weight", description="Of a picture's divergence in nats")


def cost(params: SpatialTraining) -> TrainingCost:
    """Activations grow with the pixels and with the channels at full and at half size."""
    assert isinstance(params, FSQTraining | KLTraining)
    wide, half, quarter, eighth = params.network.widths[::-1]
    channels = wide + half / 4 + quarter / 16 + eighth / 64
    return TrainingCost(
        fixed_bytes=480 * 2**20,
        picture_bytes=round(params.network.size**2 * channels * BYTES_A_CHANNEL),
        images_per_second=IMAGES_PER_SECOND,
    )


# --- one latent vector a picture ------------------------------------------------------------------------------------


class VAEConfig(LatentConfig):
    """Shape of a VAE with a global latent; encoder and decoder mirror each other."""

    latent: int = Field(128, ge=2, le=1024, multiple_of=2, description="Numbers that a picture becomes")
    width: Width = Field(64, description="Channels of the finest grid")
    max_width: Width = Field(192, description="Channels of the coarsest grid, at most")
    likelihood: LikelihoodName = Field("discretised-logistic", description="Of a pixel around what the decoder says")
    prior_width: int = Field(128, ge=16, le=2048, multiple_of=4, description="Hidden width of the prior's flow")
    prior_layers: int = Field(6, ge=2, le=32, description="Couplings of the flow")
    directions: int = Field(0, ge=0, le=100, description="Attributes that a picture may have more or less of")
    text: int = Field(0, ge=0, le=4096, description="Numbers of the sentence that the prior is given; 0 for none")


class BoundTraining(BaseModel):
    """How a network is trained on an evidence lower bound."""

    batch_size: int = Field(64, ge=1, le=4096, title="Batch size", description="Pictures a step")
    learning_rate: float = Field(1e-3, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    beta: float = Field(
        1.0, ge=0, le=100, title="Beta", description="Weight of the KL divergence: more gives smoother, vaguer pictures"
    )
    schedule: Literal["constant", "warm-up", "cyclical"] = Field(
        "warm-up",
        title="Schedule of beta",
        description="How beta comes to its weight",
        json_schema_extra={"more": True},
    )
    free_bits: float = Field(
        0.02,
        ge=0,
        le=10,
        title="Free bits",
        description="Nats that each latent number may carry at no cost",
        json_schema_extra={"more": True},
    )
    perceptual_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Perceptual weight",
        description="Share of the feature loss",
        json_schema_extra={"more": True},
    )


class VAETraining(BoundTraining, LatentTraining):
    """How a VAE is trained."""

    network: VAEConfig = VAEConfig()
    scale: float | None = Field(
        None,
        gt=0,
        le=10,
        title="Fixed scale",
        description="Spread of a pixel around what the decoder says, in [-1, 1]; empty learns it",
        json_schema_extra={"more": True},
    )


class MixingConfig(BaseModel):
    """Shape of a VAE of content, a grid of an eighth of the picture's side, and style, a vector."""

    model_config = ConfigDict(extra="forbid")

    size: Literal[32, 64, 128, 256] = Field(64, description="Side of a picture", json_schema_extra={"unit": "px"})
    content: int = Field(8, ge=1, le=64, description="Channels of the content")
    style: int = Field(32, ge=2, le=512, description="Numbers of the style")
    widths: tuple[Width, Width, Width] = Field((160, 96, 48), description="Channels at 1/8, 1/4 and 1/2 of the size")
    encoder_blocks: int = Field(1, ge=1, le=8, description="Residual blocks of the content's encoder, a grid")
    decoder_blocks: int = Field(2, ge=1, le=8, description="Residual blocks of the decoder, at 1/8 and at 1/4")
    likelihood: LikelihoodName = Field("laplace", description="Of a pixel around what the decoder says")
    classes: int = Field(0, ge=0, le=1000, description="Styles that have a name")


class MixingTraining(BoundTraining):
    """How content and style are learnt from drawings of the same things in several styles."""

    model_config = ConfigDict(extra="forbid")

    network: MixingConfig = MixingConfig()
    batch_size: int = Field(32, ge=1, le=4096, title="Batch size", description="Pictures a step")
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        title="EMA decay",
        description="Of the weights that are kept",
        json_schema_extra={"more": True},
    )


class DrawnFromPrior(SamplingParams):
    """A picture from the fitted prior."""

    temperature: float = Field(
        0.8,
        ge=0,
        le=1.5,
        title="Variety",
        description="Spread of the latents: less gives safer pictures",
    )
    label: str | None = label_field()


class PromptedFromPrior(PromptedParams):
    """A picture from the prior that was fitted to pictures together with their captions."""

    temperature: float = Field(
        0.7,
        ge=0,
        le=1.5,
        title="Variety",
        description="Spread of the latents: less gives safer pictures",
    )
    label: str | None = label_field()


class PromptedVAEConfig(VAEConfig):
    """Shape of a VAE whose prior hears words."""

    text: int = Field(512, ge=1, le=4096, description="Numbers of the sentence that the prior is given")


class PromptedVAETraining(VAETraining):
    """How it is trained."""

    network: PromptedVAEConfig = PromptedVAEConfig()


class MixParams(SamplingParams):
    """The contents of some pictures in the styles of some. With `path`, those of a job go from the first's style to
    the last's."""

    weights: Weights | None = Field(
        None,
        max_length=MOST_MIXED,
        title="Content",
        description="How much of what each picture shows; empty takes all of the first",
        json_schema_extra={"widget": "weights", "usual": "first"},
    )
    style_weights: Weights | None = Field(
        None,
        max_length=MOST_MIXED,
        title="Style",
        description="How much of how each picture is drawn; empty takes all of the last",
        json_schema_extra={"widget": "weights", "usual": "last"},
    )
    path: bool = Field(
        False, title="The way between", description="Spread the pictures along the way from the first style to the last"
    )

    @model_validator(mode="after")
    def something(self) -> MixParams:
        for weights in (self.weights, self.style_weights):
            if weights is not None and sum(weights) <= 0:
                raise ValueError("at least one weight must be more than 0")
        if self.count > 1 and not self.path:
            raise ValueError("pictures of one mixture are all the same: choose the way between")
        return self


class RestyleParams(SamplingParams):
    """A picture drawn again in another style, one that was learnt."""

    label: str | None = label_field()
    strength: float = Field(
        1.0, ge=0, le=1, title="Strength", description="How far from the picture's own style: 0 keeps it"
    )
    variety: float = Field(
        0.5, ge=0, le=1.5, title="Variety", description="How unlike one another drawings in this style are"
    )


def mixing_cost(params: MixingTraining) -> TrainingCost:
    """Activations at half, a quarter and an eighth of the size, and the feature loss."""
    network = params.network
    eighth, quarter, half = network.widths
    channels = half / 4 + quarter / 16 + eighth / 64
    return TrainingCost(
        fixed_bytes=480 * 2**20,
        picture_bytes=round(network.size**2 * (MIXING_BYTES_A_PIXEL + channels * MIXING_BYTES_A_CHANNEL)),
        images_per_second=MIXING_IMAGES_PER_SECOND,
    )


def vae_cost(params: VAETraining) -> TrainingCost:
    """Activations of encoder and decoder."""
    network = params.network
    return TrainingCost(
        fixed_bytes=480 * 2**20,
        picture_bytes=round(network.cells * network.blocks * VAE_BYTES_A_CHANNEL),
        images_per_second=VAE_IMAGES_PER_SECOND,
    )


SPATIAL_PRESETS = (
    Preset("quick", "Quick look", 400),
    Preset("good", "Good", 4000),
    Preset("best", "Best", 16000),
)

VAE_PRESETS = (
    Preset("quick", "Quick look", 1000),
    Preset("good", "Good", 8000),
    Preset("best", "Best", 30_000),
)
CHANCE = Task("unconditional-image-generation", "Pictures from chance", DrawnFromPrior, live=True)

FAMILIES = [
    Family(
        "fsq-autoencoder",
        "FSQ autoencoder",
        training=FSQTraining,
        trainer="models.vae.train_spatial",
        evaluator="models.vae.evaluate_spatial",
        presets=SPATIAL_PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
    ),
    Family(
        "kl-autoencoder",
        "KL autoencoder",
        training=KLTraining,
        trainer="models.vae.train_spatial",
        evaluator="models.vae.evaluate_spatial",
        presets=SPATIAL_PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
    ),
    Family(
        "mixing-vae",
        "Mixing VAE",
        tasks=(
            Task(INTERPOLATION.name, "Content and style", MixParams, images=INTERPOLATION.images, live=True),
            Task(VARIATION.name, "In another style", RestyleParams, images=VARIATION.images, live=True),
        ),
        sampler="models.vae.mixing.sample",
        training=MixingTraining,
        trainer="models.vae.mixing.train",
        evaluator="models.vae.mixing.evaluate",
        presets=(
            Preset("quick", "Quick look", 1000),
            Preset("good", "Good", 6000),
            Preset("best", "Best", 30_000),
        ),
        picture_size=lambda params, card_of: int(params.network.size),
        cost=mixing_cost,
    ),
    Family(
        "vae",
        "VAE",
        tasks=(CHANCE, VARIATION, INTERPOLATION),
        sampler="models.vae.sample",
        training=VAETraining,
        trainer="models.vae.train",
        evaluator="models.vae.evaluate",
        presets=VAE_PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=vae_cost,
    ),
    Family(
        "prompted-vae",
        "VAE with prompts",
        tasks=(Task(TEXT_TO_IMAGE, "Text to image", PromptedFromPrior, live=True), CHANCE, VARIATION, INTERPOLATION),
        sampler="models.vae.sample",
        training=PromptedVAETraining,
        trainer="models.vae.train",
        evaluator="models.vae.evaluate",
        presets=VAE_PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=vae_cost,
    ),
]
