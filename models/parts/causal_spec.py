"""What the shapes of decoder-only networks and their training share; torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.contract.training_spec import AdamWRate, BatchSize, EMADecay, MuonRate, WeightDecay


class CausalShape(BaseModel):
    """Shape of a `CausalTransformer`."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(256, ge=32, le=4096, description="Width of the residual stream")
    heads: int = Field(8, ge=1, le=128, description="Attention heads")
    layers: int = Field(4, ge=1, le=64, description="Of the decoder")
    hidden: int = Field(1024, ge=32, le=16384, description="Width of the feed-forward layers")

    @model_validator(mode="after")
    def heads_fit(self) -> CausalShape:
        if self.width % (2 * self.heads):  # rotary positions turn pairs of numbers
            raise ValueError("width must be a multiple of twice the heads")
        return self

    @property
    def weights(self) -> int:
        """That a token passes, without the table of tokens."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.hidden)


class CausalTraining(BaseModel):
    """How one is trained, by teacher forcing, with Muon and AdamW."""

    model_config = ConfigDict(extra="forbid")

    batch_size: BatchSize = 64
    muon_learning_rate: MuonRate = 0.02
    adamw_learning_rate: AdamWRate = 2e-3
    weight_decay: WeightDecay = 0.01
    ema_decay: EMADecay = 0.999
