"""Draws pictures with a VAE: latents from its fitted prior or from given pictures, then its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.checkpoint import CheckpointError, loaded, read_card
from models.contract.sampling import OnStep
from models.parts.latents import LatentSampler, label_list
from models.parts.placed import placed
from models.parts.sentences import SentenceEncoder
from models.vae.network import VAE
from models.vae.spec import DrawnFromPrior, VAEConfig


def load_vae(folder: Path, device: torch.device) -> tuple[VAE, list[str]]:
    """(network, names of its styles). Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: VAE(VAEConfig(**config)))
    labels = label_list(card, network.config.classes)
    return placed(network, device), labels


def load(folder: Path, device: torch.device) -> LatentSampler:
    """Raises CheckpointError."""
    network, labels = load_vae(folder, device)
    named: list[str | None] = [str(name) for name in read_card(folder).get("directions", [])]
    if len(named) != network.config.directions:
        raise CheckpointError("the card does not name the directions that the weights have")

    def draw(normal: Tensor, labels: Tensor | None) -> Tensor:
        pictures: Tensor = network.decoder(network.prior(normal, labels))
        return pictures

    def prompted(prompt: str, normal: Tensor, labels: Tensor | None) -> Tensor:
        """What a sentence makes of chance, as the latents that the flow has for it when it hears none."""
        sentence = torch.from_numpy(sentences.encode([prompt])).to(device)
        latents = network.prior(normal, labels, sentence)
        return network.prior.to_normal(latents, labels)[0]

    sentences = SentenceEncoder()

    def latent(random: np.random.Generator, params: DrawnFromPrior) -> npt.NDArray[np.float64]:
        return params.temperature * random.standard_normal(network.config.latent)

    def encode(pictures: Tensor, on_step: OnStep) -> tuple[Tensor, Tensor | None]:
        """Through the flow, latents of all pictures together are a standard normal."""
        mean, _ = network.encoder(pictures)
        styles = network.prior.likeliest(mean) if labels else None
        return network.prior.to_normal(mean, styles)[0], styles

    directions = {name: vector.cpu() for name, vector in zip(named, network.directions, strict=True)}
    return LatentSampler(
        network,
        network.config.size,
        draw,
        latent,
        encode,
        labels,
        directions,
        prompted if network.config.text else None,
    )
