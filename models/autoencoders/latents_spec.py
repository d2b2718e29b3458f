"""What families share that draw pixels, or the latents of an autoencoder; torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, ValidationError

from models.autoencoders.spec import KLConfig
from models.contract.message import Message

CELL = 8  # pixels along the side of a latent's cell

CardOf = Callable[[str], dict[str, Any]]


def autoencoder_field() -> Any:
    """Which checkpoint's latents are drawn."""
    return Field(
        None,
        title="Autoencoder",
        description="Checkpoint whose latents are drawn; empty: draws pixels",
        json_schema_extra={"checkpoint": "kl-autoencoder", "more": True},
    )


def problem_of(autoencoder: str | None, size: int, channels: int, card_of: CardOf) -> Message | None:
    """What is drawn, `size` x `size` of `channels`, must be what the autoencoder reads."""
    if autoencoder is None:
        return None if channels == 3 else Message("Pixels have 3 channels")
    try:
        shape = KLConfig.model_validate(card_of(autoencoder)["config"])
    except (KeyError, ValidationError):
        return Message("The card of {name} does not describe an autoencoder with real latents", name=autoencoder)
    side = shape.size // CELL
    if (side, shape.latent) != (size, channels):
        return Message(
            "{name} makes {side} x {side} cells of {channels}; set size and channels to match",
            name=autoencoder,
            side=side,
            channels=shape.latent,
        )
    return None


def picture_size_of(autoencoder: str | None, size: int, card_of: CardOf) -> int:
    """Side in pixels of the pictures that are drawn."""
    return size if autoencoder is None else int(card_of(autoencoder)["config"].get("size", 64))
