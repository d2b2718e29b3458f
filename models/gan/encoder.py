"""Reads the latents of a picture off what a network that knows photographs sees in it.

A linear map, fitted in closed form to pictures that the generator drew itself: their latents are known. What it reads
is where the search for a given picture begins, as in Zhu et al., "Generative Visual Manipulation on the Natural Image
Manifold", 2016.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.gan.network import Generator
from models.measure.features import BLOCKS, LOSS_DEPTH, Lite0

SIDE = 48  # pixels of the pictures that are looked at
CELLS = SIDE // 8  # of their map, each way
PICTURES, PIECE = 4096, 64
RIDGE = 0.5  # of the mean squared length of what is seen


class Encoder(nn.Module):
    """What is seen of pictures to their latents, and to their labels where the generator draws for some."""

    def __init__(self, latent: int, classes: int) -> None:
        super().__init__()
        self.latent = latent
        self.read = nn.Linear(BLOCKS[LOSS_DEPTH - 1][1] * CELLS**2, latent + classes)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, numbers) -> (B, latent), (B,) in [0, classes)."""
        latents, scores = self.read(seen).tensor_split([self.latent], 1)
        return latents, scores.argmax(1) if scores.size(1) else None


def seen(network: Lite0, pictures: Tensor) -> Tensor:
    """(B, 3, size, size) in [-1, 1] -> (B, numbers), whatever the size."""
    if pictures.size(-1) != SIDE:
        pictures = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return network(pictures.clamp(-1, 1))[LOSS_DEPTH - 1].flatten(1)


@torch.no_grad()
def fit_encoder(
    generator: Generator,
    network: Lite0,
    pictures: int = PICTURES,
    piece: int = PIECE,
    on_drawn: Callable[[int], None] = lambda done: None,
) -> Encoder:
    """By ridge regression on so many pictures from chance, always the same. `on_drawn` is told how many are drawn."""
    config, device = generator.config, generator.out.weight.device
    latents = torch.randn(pictures, config.latent, generator=torch.Generator().manual_seed(0)).to(device)
    labels = torch.arange(pictures, device=device) % config.classes if config.classes else None
    parts = []
    for at in torch.arange(pictures, device=device).split(piece):
        parts.append(seen(network, generator(latents[at], None if labels is None else labels[at])))
        on_drawn(int(at[-1]) + 1)
    x, wanted = torch.cat(parts), latents
    if labels is not None:
        wanted = torch.cat([latents, F.one_hot(labels, config.classes).float()], 1)
    middle, usual = x.mean(0), wanted.mean(0)
    x = x - middle
    products = x @ x.T
    products.diagonal().add_(RIDGE * x.square().sum(1).mean() + 1e-6)  # all may look the same
    encoder = Encoder(config.latent, config.classes).to(device).requires_grad_(False)
    encoder.read.weight.copy_(torch.linalg.solve(products, wanted - usual).T @ x)
    encoder.read.bias.copy_(usual - encoder.read.weight @ middle)
    return encoder
