"""Draws pictures with a generator, from chance or near given ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.checkpoint import load_into, opened
from models.gan.encoder import Encoder
from models.gan.network import Generator, generator_of
from models.gan.project import projector
from models.gan.spec import DIRECTIONS, GANConfig, UnconditionalImage
from models.parts.latents import LatentSampler, label_list
from models.parts.noise import truncated_normal
from models.parts.placed import placed


def directions(network: Generator, count: int = DIRECTIONS) -> dict[str | None, Tensor]:
    """Unit latents that change a picture most, found without labels and in closed form.

    They are the first right singular vectors of the first layer's weights: Shen and Zhou, "Closed-Form Factorization of
    Latent Semantics in GANs" (SeFa), 2021.
    """
    weight = network.first_layer.weight[:, : network.config.latent].float().cpu()
    _, _, vectors = torch.linalg.svd(weight, full_matrices=False)
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    vectors = vectors * largest.sign()  # an algorithm may give either sign
    return {str(i + 1): vector for i, vector in enumerate(vectors[:count])}


def load(folder: Path, device: torch.device) -> LatentSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    card, weights = opened(folder)
    network, encoder = generator_of(GANConfig(**card["config"])), None
    if any(name.startswith("encoder.") for name in weights):  # there was none at first
        encoder = Encoder(network.config.latent, network.config.classes)
        network.add_module("encoder", encoder)
    load_into(network, weights)
    labels = label_list(card, network.config.classes)
    placed(network, device)

    def latent(random: np.random.Generator, params: UnconditionalImage) -> npt.NDArray[np.float64]:
        return truncated_normal(random.random(network.config.latent), params.truncation)

    encode = projector(network, encoder)
    return LatentSampler(network, network.config.size, network, latent, encode, labels, directions(network))
