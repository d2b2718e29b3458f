"""Parameters of the autoencoders whose latent is a grid; torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.autoencoders.shared_spec import SharpenedTraining, Width, grid_work
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.training_spec import MORE, BatchSize, EMADecay, PerceptualWeight

IMAGES_PER_SECOND = 50.0  # measured: the default network at 64 px on two CPU cores
BYTES_A_CHANNEL = 46  # measured at batches of 8 to 64: peak memory within a tenth


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


class SpatialTraining(SharpenedTraining):
    """How an autoencoder with a latent grid is trained."""

    model_config = ConfigDict(extra="forbid")

    batch_size: BatchSize = 32
    learning_rate: float = Field(8e-4, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    perceptual_weight: PerceptualWeight = 0.15
    decoder_only: bool = Field(
        False,
        strict=True,
        title="Decoder only",
        description=("Keeps the encoder that training starts from, so models that draw with its latents still fit"),
        json_schema_extra={"more": True, "sets_speed": True},
    )
    equivariance: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Equivariance",
        description="Part of the steps that turn or shrink latents with their pictures: easier to learn to draw with",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999

    @model_validator(mode="after")
    def an_encoder(self) -> SpatialTraining:
        if self.decoder_only and not getattr(self, "start_from", None):
            raise ValueError("training only the decoder needs a checkpoint: choose one to start from")
        return self


class FSQTraining(SpatialTraining):
    """How an FSQ autoencoder is trained."""

    network: FSQConfig = FSQConfig()
    start_from: str | None = start_field("fsq-autoencoder")


class KLTraining(SpatialTraining):
    """How a KL autoencoder is trained."""

    network: KLConfig = KLConfig()
    start_from: str | None = start_field("kl-autoencoder")
    kl_weight: float = Field(1e-5, ge=0, le=1, title="KL weight", description=("Of a picture's KL divergence, in nats"))


def cost(params: SpatialTraining) -> TrainingCost:
    """Activations grow with the pixels and with the channels at full and at half size."""
    assert isinstance(params, FSQTraining | KLTraining)
    wide, half, quarter, eighth = params.network.widths[::-1]
    channels = wide + half / 4 + quarter / 16 + eighth / 64
    usual = grid_work(SpatialConfig().size, SpatialConfig().widths)
    without = TrainingCost(
        fixed_bytes=480 * 2**20,
        item_bytes=round(params.network.size**2 * channels * BYTES_A_CHANNEL),
        items_per_second=IMAGES_PER_SECOND * usual / grid_work(params.network.size, params.network.widths),
    )
    return params.cost_of(params.network.size, without)


PRESETS = (
    Preset("quick", "Quick look", 400),
    Preset("good", "Good", 4000),
    Preset("best", "Best", 16000),
)

RUN_SHEET = "Held-out originals beside their reconstructions"

FAMILIES = [
    Family(
        "fsq-autoencoder",
        "FSQ autoencoder",
        RUN_SHEET,
        loader="models.autoencoders.load",
        training=FSQTraining,
        trainer="models.autoencoders.train",
        evaluator="models.autoencoders.evaluate",
        presets=PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
        supports_early_stopping=lambda params: not params.is_sharpened,
    ),
    Family(
        "kl-autoencoder",
        "KL autoencoder",
        RUN_SHEET,
        loader="models.autoencoders.load",
        training=KLTraining,
        trainer="models.autoencoders.train",
        evaluator="models.autoencoders.evaluate",
        presets=PRESETS,
        picture_size=lambda params, card_of: int(params.network.size),
        cost=cost,
        supports_early_stopping=lambda params: not params.is_sharpened,
    ),
]
