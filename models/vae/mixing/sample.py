"""Draws with the mixing VAE: the contents of some pictures in the styles of some, or a picture in another style."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import loaded
from models.contract.sampling import BATCHES, OnStep, Output, Request, padded
from models.contract.tasks import INTERPOLATION
from models.contract.values import Picture
from models.data.pictures import to_pixels
from models.parts.interpolation import on_the_way
from models.parts.latents import Remembered, fitted, label_list
from models.parts.placed import bytes_of, placed
from models.vae.mixing.network import MixingVAE
from models.vae.mixing.spec import MixingConfig

Latents = tuple[Tensor, Tensor]  # of one picture: content (C, h, w), style (S,)


class MixingSampler:
    """A loaded checkpoint. What it is given is encoded once and remembered."""

    batch_size = BATCHES[-1]

    def __init__(self, network: MixingVAE, labels: list[str]) -> None:
        self.network, self.labels = network, labels
        self.remembered: Remembered[Latents] = Remembered()

    @property
    def memory_bytes(self) -> int:
        return bytes_of(self.network)

    @torch.no_grad()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, each from its own seed and pictures alone."""
        drawn, said = zip(*[self.latents(request) for request in batch], strict=True)
        contents, styles = zip(*padded(list(drawn)), strict=True)
        device = self.network.style_means.device
        pictures = self.network.decoder(torch.stack(contents).to(device), torch.stack(styles).to(device))[: len(batch)]
        on_step(1, 1, list)
        pixels = to_pixels(pictures).permute(0, 2, 3, 1).cpu().numpy()
        return [Output(Picture(each), *facts) for each, facts in zip(pixels, said, strict=True)]

    def latents(self, request: Request) -> tuple[Latents, tuple[dict[str, Any], ...]]:
        """(content and style, (what is to be said of the work, parameters that give it alone))."""
        given = [self.remembered.of(image, partial(self.encode, image)) for image in request.images]
        if request.task == INTERPOLATION.name:
            contents, styles = content_weights(request), style_weights(request)
            nothing = torch.zeros(())
            mixed = (
                sum((weight * content for weight, (content, _) in zip(contents, given, strict=True)), nothing),
                sum((weight * style for weight, (_, style) in zip(styles, given, strict=True)), nothing),
            )
            return mixed, ({}, {"weights": rounded(contents), "style_weights": rounded(styles), "path": False})
        content, style = given[0]
        random = np.random.default_rng(request.seed)
        label = int(random.integers(len(self.labels)))
        if request.params.label in self.labels:
            label = self.labels.index(request.params.label)
        chance = torch.from_numpy(random.standard_normal(len(style))).float()
        means, roots = self.network.style_means[label].cpu(), self.network.style_roots[label].cpu()
        wanted = means + request.params.variety * (roots @ chance)
        return (content, torch.lerp(style, wanted, request.params.strength)), ({"label": self.labels[label]},)

    def encode(self, image: Any) -> Latents:
        device = self.network.style_means.device
        picture = fitted(image, self.network.config.size).to(device)
        return self.network.content(picture)[0][0].cpu(), self.network.style(picture)[0][0].cpu()


def content_weights(request: Request) -> list[float]:
    """How much of each picture's content; without any word of it, the first one's."""
    return shares(request.params.weights or one(0, len(request.images)))


def style_weights(request: Request) -> list[float]:
    """How much of each picture's style; without any word of it, the last one's. On a way, from first to last."""
    count = len(request.images)
    if request.params.path and request.params.count > 1:
        return on_the_way(request, len(request.images))
    return shares(request.params.style_weights or one(count - 1, count))


def one(place: int, count: int) -> list[float]:
    return [float(i == place) for i in range(count)]


def shares(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def rounded(weights: list[float]) -> list[float]:
    return [round(weight, 6) for weight in weights]


def load_mixing(folder: Path, device: torch.device) -> tuple[MixingVAE, list[str]]:
    """(network, names of its styles). Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: MixingVAE(MixingConfig(**config)))
    return placed(network, device), label_list(card, network.config.classes)


def load(folder: Path, device: torch.device) -> MixingSampler:
    """Raises CheckpointError."""
    return MixingSampler(*load_mixing(folder, device))
