"""Parameters of the autoencoders; torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from models.base import Family


class FSQConfig(BaseModel):
    """Shape of an FSQ autoencoder."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(64, description="Side of a picture", json_schema_extra={"unit": "px"})
    levels: tuple[int, ...] = Field((8, 5, 5, 5), description="Levels of each latent channel")
    widths: tuple[int, int, int, int] = Field((160, 96, 48, 24), description="Channels at 1/8, 1/4, 1/2 and full size")
    encoder_blocks: int = Field(2, ge=1, le=8, description="Residual blocks at a quarter of the size")
    decoder_blocks: int = Field(3, ge=1, le=8, description="Residual blocks at a quarter of the size")


class FSQTraining(BaseModel):
    """How an FSQ autoencoder is trained."""

    model_config = ConfigDict(extra="forbid")

    network: FSQConfig = FSQConfig()
    batch_size: int = Field(32, ge=1, le=4096, title="Batch size", description="Pictures a step")
    learning_rate: float = Field(8e-4, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    perceptual_weight: float = Field(
        0.15, ge=0, le=10, title="Perceptual weight", description="Share of the feature loss"
    )
    ema_decay: float = Field(0.999, ge=0, lt=1, title="EMA decay", description="Of the weights that are kept")


FAMILIES = [
    Family(
        "fsq-autoencoder",
        "FSQ autoencoder",
        training=FSQTraining,
        trainer="models.vae.train_fsq",
        evaluator="models.vae.evaluate_fsq",
    )
]
