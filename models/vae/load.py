"""Loads autoencoder checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch

from models.checkpoint import ZOO, CheckpointError, find, load_into, read_card, read_weights
from models.vae.fsq import FSQAutoencoder
from models.vae.kl import KLAutoencoder
from models.vae.spatial import SpatialAutoencoder
from models.vae.spatial_spec import FSQConfig, KLConfig


def load_spatial(folder: Path, device: torch.device) -> SpatialAutoencoder:
    """The autoencoder with a latent grid in this folder. Raises CheckpointError when it is broken or another thing."""
    card = read_card(folder)
    network: SpatialAutoencoder
    if card["family"] == "fsq-autoencoder":
        network = FSQAutoencoder(FSQConfig(**card["config"]))
    elif card["family"] == "kl-autoencoder":
        network = KLAutoencoder(KLConfig(**card["config"]))
    else:
        raise CheckpointError(f"{folder.name} is no autoencoder with a latent grid")
    load_into(network, read_weights(folder / "model.safetensors", card["sha256"]))
    return network.to(device)


def load_autoencoder(
    name: str, device: torch.device, sha256: str | None = None, beside: Path = ZOO
) -> tuple[FSQAutoencoder, Path]:
    """The FSQ checkpoint `name`, from the folder `beside` or from the zoo, and its folder.

    Raises CheckpointError when it is missing, broken, or neither the one with this SHA-256 nor one of the same tokens.
    """
    folder = find(name, beside)
    card = read_card(folder)
    if sha256 and sha256 not in (card["sha256"], *card.get("same_latents_as", [])):
        raise CheckpointError(f"the autoencoder {name} is not the one that this model was trained with")
    network = load_spatial(folder, device)
    if not isinstance(network, FSQAutoencoder):
        raise CheckpointError(f"the autoencoder {name} has no tokens")
    return network, folder
