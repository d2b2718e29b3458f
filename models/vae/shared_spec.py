"""What the parameters of several autoencoders share; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Width = Annotated[int, Field(ge=8, le=2048, multiple_of=8)]
LikelihoodName = Literal["gaussian", "laplace", "discretised-logistic"]


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


class SharpenedTraining(BaseModel):
    """How a patch discriminator joins the training of an autoencoder."""

    adversarial_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Adversarial weight",
        description="Share of a discriminator that looks at patches: sharper, less exact; 0 leaves it out",
        json_schema_extra={"more": True},
    )
    adversarial_from: float = Field(
        0.5,
        ge=0,
        lt=1,
        title="Adversarial from",
        description="Part of the training after which it joins",
        json_schema_extra={"more": True},
    )

    @property
    def is_sharpened(self) -> bool:
        """Then no distance to the originals says which state is the best: they rise as pictures get sharper."""
        return self.adversarial_weight > 0
