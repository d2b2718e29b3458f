"""Draws pictures from chance with a generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.base import OnStep, Output, Request
from models.checkpoint import CheckpointError, load_into, read_card, read_weights
from models.data import to_pixels
from models.gan.network import Generator
from models.gan.spec import GANConfig, UnconditionalImage

BATCHES = (1, 2, 4, 8, 16)  # a batch is padded to one of these, so that few shapes occur


class GANSampler:
    """A generator, and the names of the styles that it has learnt."""

    batch_size = BATCHES[-1]

    def __init__(self, network: Generator, labels: list[str]) -> None:
        self.network, self.labels = network, labels
        self.device = network.basis.device
        self.memory_bytes = sum(p.numel() * p.element_size() for p in network.parameters())

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, in a single step."""
        padded = [*batch, *[batch[-1]] * (next(b for b in BATCHES if b >= len(batch)) - len(batch))]
        drawn = [self.draws(request) for request in padded]
        labels = torch.tensor([label for _, label in drawn], device=self.device) if self.labels else None
        pictures = self.network(torch.stack([latent for latent, _ in drawn]).to(self.device), labels)
        on_step(1, 1, list)
        pixels = to_pixels(pictures[: len(batch)]).permute(0, 2, 3, 1).cpu().numpy()
        named = [{"label": self.labels[label]} if self.labels else {} for _, label in drawn]
        return [Output(each, metadata) for each, metadata in zip(pixels, named, strict=False)]

    def draws(self, request: Request) -> tuple[Tensor, int]:
        """(latent, label) of a request, from its seed alone."""
        params: UnconditionalImage = request.params
        random = np.random.default_rng(request.seed)
        latent = truncated_normal(random.random(self.network.config.latent), params.truncation)
        if not self.labels:
            return latent, 0
        drawn = int(random.integers(len(self.labels)))
        return latent, self.labels.index(params.label) if params.label in self.labels else drawn


def truncated_normal(uniform: np.ndarray, limit: float) -> Tensor:
    """A standard normal cut off at +-`limit`, by its inverse distribution: a smooth function of both arguments.

    Brock et al., "Large Scale GAN Training" (BigGAN), 2019: narrower than in training gives likelier pictures.
    """
    edge = torch.special.ndtr(torch.tensor(limit, dtype=torch.float64))
    position = (1 - edge) + torch.from_numpy(uniform) * (2 * edge - 1)
    return torch.special.ndtri(position).float()


def load(folder: Path, device: torch.device) -> GANSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    card = read_card(folder)
    network = Generator(GANConfig(**card["config"]))
    load_into(network, read_weights(folder / "model.safetensors", card["sha256"]))
    labels = [str(label) for label in card.get("labels", [])]
    if len(labels) != network.config.classes:
        raise CheckpointError("the card does not name the labels that the weights have")
    return GANSampler(network.to(device, memory_format=torch.channels_last), labels)
