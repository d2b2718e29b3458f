"""Loads autoencoder checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.spatial import SpatialAutoencoder
from models.autoencoders.spec import FSQConfig, KLConfig
from models.checkpoint import ZOO, CheckpointError, find, loaded, read_card
from models.contract.card import AUTOENCODER, beneath


def load(folder: Path, device: torch.device) -> SpatialAutoencoder:
    """The autoencoder with a latent grid in this folder. Raises CheckpointError when it is broken or another thing."""
    makers: dict[str, Callable[[dict[str, Any]], SpatialAutoencoder]] = {
        "fsq-autoencoder": lambda config: FSQAutoencoder(FSQConfig(**config)),
        "kl-autoencoder": lambda config: KLAutoencoder(KLConfig(**config)),
    }
    make = makers.get(read_card(folder)["family"])
    if make is None:
        raise CheckpointError("{name} is no autoencoder with a latent grid", name=folder.name)
    network, _ = loaded(folder, make)
    return network.to(device)


def load_autoencoder(
    name: str, device: torch.device, sha256: str | None = None, beside: Path = ZOO
) -> tuple[FSQAutoencoder, Path]:
    """The FSQ checkpoint `name`, from the folder `beside` or from the zoo, and its folder.

    Raises CheckpointError when it is missing, broken, or neither the one with this SHA-256 nor one of the same tokens.
    """
    network, folder = _named(name, device, sha256, beside)
    if not isinstance(network, FSQAutoencoder):
        raise CheckpointError("the autoencoder {name} has no tokens", name=name)
    return network, folder


def load_latents(
    name: str, device: torch.device, sha256: str | None = None, beside: Path = ZOO
) -> tuple[KLAutoencoder, Path]:
    """The same of a KL checkpoint."""
    network, folder = _named(name, device, sha256, beside)
    if not isinstance(network, KLAutoencoder):
        raise CheckpointError("the autoencoder {name} has no real latents", name=name)
    return network, folder


def latents_beneath(card: dict[str, Any], device: torch.device, beside: Path) -> KLAutoencoder | None:
    """The autoencoder whose latents the model of this card draws, if it does. Raises CheckpointError."""
    named = beneath(card, AUTOENCODER)
    return load_latents(named["name"], device, named["sha256"], beside)[0] if named else None


def _named(name: str, device: torch.device, sha256: str | None, beside: Path) -> tuple[SpatialAutoencoder, Path]:
    folder = find(name, beside)
    card = read_card(folder)
    if sha256 and sha256 not in (card["sha256"], *card.get("same_latents_as", [])):
        raise CheckpointError("the autoencoder {name} is not the one that this model was trained with", name=name)
    return load(folder, device), folder
