"""What the shapes of networks that a prompt conditions share; torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

REFERENCE_WIDTH = 432  # numbers that say what is seen of a reference picture


class PromptShape(BaseModel):
    """Shape of the prompt's encoder, and of the residual stream that it shares with what reads its memory."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(256, ge=32, le=4096, description="Width of the residual stream")
    heads: int = Field(8, ge=1, le=128, description="Attention heads")
    encoder_layers: int = Field(2, ge=1, le=64, description="Of the prompt")
    encoder_hidden: int = Field(512, ge=32, le=16384, description="Width of the encoder's feed-forward layers")
    text_vocabulary: int = Field(4096, ge=300, le=65536, description="Sub-word tokens")
    prompt_length: int = Field(32, ge=4, le=512, description="Maximum sub-word tokens of a prompt")
    sentence_width: int = Field(
        512, description="Of the multilingual sentence embedding", json_schema_extra={"fixed": True}
    )
    reference: bool = Field(
        False, strict=True, description="Whether a picture can be given to go by, beside the prompt"
    )

    contrastive: bool = Field(
        False,
        strict=True,
        description="Whether prompts are also read by an encoder that is fitted to what pictures of them look like",
    )

    @model_validator(mode="after")
    def heads_fit(self) -> PromptShape:
        if self.width % (4 * self.heads):  # rotary positions turn pairs of numbers, for each of two axes
            raise ValueError("width must be a multiple of four times the heads")
        return self
