"""What the shapes of networks with a trunk share; torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrunkShape(BaseModel):
    """Shape of a trunk and of the prompt's encoder. Subclasses have a `grid`: patches or tokens along one side."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(256, ge=32, le=4096, description="Width of the residual stream")
    heads: int = Field(8, ge=1, le=128, description="Attention heads")
    layers: int = Field(6, ge=1, le=64, description="Of the picture's patches")
    hidden: int = Field(960, ge=32, le=16384, description="Width of the feed-forward layers")
    encoder_layers: int = Field(2, ge=1, le=64, description="Of the prompt")
    encoder_hidden: int = Field(512, ge=32, le=16384, description="Width of the encoder's feed-forward layers")
    text_vocabulary: int = Field(4096, ge=300, le=65536, description="Sub-word tokens")
    prompt_length: int = Field(32, ge=4, le=512, description="Maximum sub-word tokens of a prompt")
    sentence_width: int = Field(
        512, description="Of the multilingual sentence embedding", json_schema_extra={"fixed": True}
    )

    @model_validator(mode="after")
    def heads_fit(self) -> TrunkShape:
        if self.width % (4 * self.heads):  # rotary positions turn pairs of numbers, for each of two axes
            raise ValueError("width must be a multiple of four times the heads")
        return self

    @property
    def weights(self) -> tuple[int, int]:
        """Of the prompt's encoder, and of what patches pass."""
        encoder = self.encoder_layers * (4 * self.width**2 + 2 * self.width * self.encoder_hidden)
        layers = self.layers * (6 * self.width**2 + 2 * self.width * self.hidden + 9 * self.hidden)
        return encoder, layers
