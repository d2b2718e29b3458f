"""Loads an autoencoder checkpoint by its name."""

from __future__ import annotations

from pathlib import Path

import torch

from models.checkpoint import ZOO, CheckpointError, find, load_into, read_card, read_weights
from models.vae.fsq import FSQAutoencoder
from models.vae.spec import FSQConfig


def load_autoencoder(
    name: str, device: torch.device, sha256: str | None = None, beside: Path = ZOO
) -> tuple[FSQAutoencoder, Path]:
    """The checkpoint `name`, from the folder `beside` or from the zoo, and its folder.

    Raises CheckpointError when it is missing, broken, or not the one with this SHA-256.
    """
    folder = find(name, beside)
    card = read_card(folder)
    if sha256 and card["sha256"] != sha256:
        raise CheckpointError(f"the autoencoder {name} is not the one that this model was trained with")
    network = FSQAutoencoder(FSQConfig(**card["config"]))
    load_into(network, read_weights(folder / "model.safetensors", card["sha256"]))
    return network.to(device), folder
