"""Draws pictures from chance with a VAE: latents from its fitted prior, then its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.chance import ChanceSampler, label_list
from models.checkpoint import load_into, read_card, read_weights
from models.vae.network import VAE
from models.vae.spec import DrawnFromPrior, VAEConfig


def load_vae(folder: Path, device: torch.device) -> tuple[VAE, list[str]]:
    """(network, names of its styles). Raises CheckpointError when the checkpoint is broken or another one."""
    card = read_card(folder)
    network = VAE(VAEConfig(**card["config"]))
    load_into(network, read_weights(folder / "model.safetensors", card["sha256"]))
    labels = label_list(card, network.config.classes)
    return network.to(device, memory_format=torch.channels_last), labels


def load(folder: Path, device: torch.device) -> ChanceSampler:
    """Raises CheckpointError."""
    network, labels = load_vae(folder, device)

    def draw(normal: Tensor, labels: Tensor | None) -> Tensor:
        pictures: Tensor = network.decoder(network.prior(normal, labels))
        return pictures

    def latent(random: np.random.Generator, params: DrawnFromPrior) -> npt.NDArray[np.float64]:
        return params.temperature * random.standard_normal(network.config.latent)

    return ChanceSampler(network, draw, latent, labels)
