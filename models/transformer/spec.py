"""Parameters and tasks of the encoder-decoder text-to-image transformer; torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from models.base import Family, SamplingParams, Task


def plain_text(text: str) -> str:
    """Refuse what no text holds (NUL, lone surrogates) and what is blank; keep everything else exactly."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold NUL or unpaired surrogates")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class TextToImageParams(SamplingParams):
    """A prompt, and how freely the transformer draws it."""

    prompt: Annotated[str, AfterValidator(plain_text)] = Field(
        min_length=1,
        max_length=500,
        title="Prompt",
        strict=True,
        description='What to draw, in English or Chinese; a style may follow: "a red fox, noto style"',
        json_schema_extra={"widget": "prompt"},
    )
    guidance_scale: float = Field(
        3.0,
        ge=1,
        le=15,
        title="Guidance",
        allow_inf_nan=False,
        description="1 draws freely; more keeps closer to the prompt",
        json_schema_extra={"step": 0.5, "more": True},
    )
    temperature: float = Field(
        0.6,
        ge=0.1,
        le=2,
        title="Temperature",
        allow_inf_nan=False,
        description="Less is calmer, more is wilder",
        json_schema_extra={"step": 0.05, "more": True},
    )
    top_k: int = Field(
        100,
        ge=1,
        le=1000,
        title="Top k",
        strict=True,
        description="Each token is chosen among the k likeliest",
        json_schema_extra={"more": True},
    )


class TransformerConfig(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(256, ge=32, le=4096, description="Width of the residual stream")
    heads: int = Field(8, ge=1, description="Attention heads")
    encoder_layers: int = Field(2, ge=1)
    decoder_layers: int = Field(5, ge=1)
    encoder_hidden: int = Field(512, ge=32, description="Width of the encoder's feed-forward layers")
    decoder_hidden: int = Field(640, ge=32, description="Width of the decoder's feed-forward layers")
    grid: int = Field(8, ge=1, le=64, description="Tokens along one side of a picture")
    image_vocabulary: int = Field(1000, ge=2)
    text_vocabulary: int = Field(1536, ge=300, description="Sub-word tokens")
    prompt_length: int = Field(32, ge=4, le=512, description="Sub-word tokens of a prompt that are read")
    sentence_width: int = Field(512, description="Of the multilingual sentence embedding")


class TransformerTraining(BaseModel):
    """How the transformer is trained."""

    model_config = ConfigDict(extra="forbid")

    network: TransformerConfig = TransformerConfig()
    autoencoder: str = Field("emoji-fsq", title="Autoencoder", description="Checkpoint that turns pictures into tokens")
    start_from: str | None = Field(
        None, title="Start from", description="Checkpoint whose weights training starts from"
    )
    batch_size: int = Field(96, ge=1, le=4096, title="Batch size", description="Pictures a step")
    muon_learning_rate: float = Field(0.02, gt=0, le=1, title="Muon learning rate")
    adamw_learning_rate: float = Field(3e-3, gt=0, le=1, title="AdamW learning rate")
    weight_decay: float = Field(0.01, ge=0, le=1, title="Weight decay")
    prompt_drop: float = Field(0.1, ge=0, le=1, title="Prompt drop", description="Share trained without a prompt")
    token_noise: float = Field(
        0.4, ge=0, le=1, title="Token noise", description="Up to this share of a picture's input tokens is replaced"
    )
    views: int = Field(
        16, ge=1, le=64, title="Views", description="A picture itself and shifted, mirrored versions of it"
    )
    plain_share: float = Field(0.5, ge=0, le=1, title="Plain share", description="Share trained on the picture itself")
    watched: list[str] = Field([], title="Watched prompts", description="Drawn as it trains; none: some captions")
    ema_decay: float = Field(0.998, ge=0, lt=1, title="EMA decay", description="Of the weights that are kept")


FAMILIES = [
    Family(
        "text-to-image-transformer",
        "Encoder-decoder text-to-image transformer",
        tasks=(Task("text-to-image", "Text to image", TextToImageParams),),
        sampler="models.transformer.sample",
        training=TransformerTraining,
        trainer="models.transformer.train",
        evaluator="models.transformer.evaluate",
    )
]
