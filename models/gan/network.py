"""Generator and discriminator: the convolutional architecture, and the choice between it and the residual one.

The skeleton is that of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs"
(DCGAN), 2016: strided convolutions from grid to grid. Between them the generator has residual blocks. Its normalisation
knows no other picture, so that a batch can be worked on in pieces; the discriminator, whose gradient is penalised, has
none.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contract.latent_spec import SMALLEST_GRID
from models.gan.residual import GROUP, SLOPE, ResidualDiscriminator, ResidualGenerator, with_labels
from models.gan.spec import GANConfig
from models.parts.convolutions import CellNorm


class Block(nn.Module):
    """A residual block that is activated first (He et al., 2016): 1x1 to twice the channels, grouped 3x3, 1x1 back."""

    def __init__(self, channels: int, depth: int, normalised: bool) -> None:
        super().__init__()
        inner = 2 * channels
        self.norm1, self.norm2 = (CellNorm(c) if normalised else nn.Identity() for c in (channels, inner))
        self.expand = nn.Conv2d(channels, inner, 1)
        self.spread = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // GROUP)
        self.project = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.expand, self.spread, self.project):
            nn.init.kaiming_normal_(layer.weight, SLOPE)
        self.project.weight.data *= 0.5 * depth**-0.5  # what all blocks add up to does not grow with their number

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same."""
        y = self.expand(F.leaky_relu(self.norm1(x), SLOPE))
        y = self.spread(F.leaky_relu(y, SLOPE))
        return x + self.project(F.leaky_relu(self.norm2(y), SLOPE))


class ConvolutionalGenerator(nn.Module):
    """Latents, and labels where it has some, to pictures."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.embedding = nn.Embedding(config.classes, config.latent) if config.classes else None
        inputs = config.latent * (2 if config.classes else 1)
        self.first_layer = nn.Linear(inputs, widths[0] * SMALLEST_GRID**2)
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            if i:
                layers.append(nn.ConvTranspose2d(widths[i - 1], width, 4, stride=2, padding=1))
            layers += [Block(width, config.blocks, normalised=True) for _ in range(config.blocks)]
        self.tower = nn.Sequential(*layers, CellNorm(widths[-1]), nn.LeakyReLU(SLOPE))
        self.out = nn.Conv2d(widths[-1], 3 * config.patch**2, 1)
        nn.init.normal_(self.out.weight, std=0.5 / math.sqrt(widths[-1]))  # pictures begin at the spread of data
        self.to_pixels = nn.PixelShuffle(config.patch)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent) of a standard normal, (B,) in [0, classes) -> (B, 3, size, size), about [-1, 1]."""
        x = self.first_layer(with_labels(self.embedding, latents, labels)).view(
            len(latents), -1, SMALLEST_GRID, SMALLEST_GRID
        )
        x = x.contiguous(memory_format=torch.channels_last)
        pictures: Tensor = self.to_pixels(self.out(self.tower(x)))
        return pictures


class ConvolutionalDiscriminator(nn.Module):
    """Pictures, and labels where it has some, to how real they look: one unbounded number each."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(config.patch),
            nn.Conv2d(3 * config.patch**2, widths[0], 3, padding=1),
        ]
        for i, width in enumerate(widths):
            if i:
                layers += [nn.LeakyReLU(SLOPE), nn.Conv2d(widths[i - 1], width, 4, stride=2, padding=1)]
        layers += [Block(widths[-1], config.blocks, normalised=False) for _ in range(config.blocks)]
        self.tower = nn.Sequential(*layers, nn.LeakyReLU(SLOPE))
        self.out = nn.Linear(widths[-1] * SMALLEST_GRID**2, 1)
        self.embedding = nn.Embedding(config.classes, widths[-1]) if config.classes else None

    def advance(self) -> None:
        """Called once a step, whoever works on how many pieces of it."""

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, 3, size, size) in [-1, 1] -> (B,)."""
        x = self.tower(pictures)
        scores = self.out(x.flatten(1)).squeeze(1)
        if self.embedding is not None:
            # Projection discriminator (Miyato and Koyama, 2018).
            scores = scores + (self.embedding(labels) * x.mean((2, 3))).sum(1) / math.sqrt(x.size(1))
        return scores.float()


Generator = ConvolutionalGenerator | ResidualGenerator
Discriminator = ConvolutionalDiscriminator | ResidualDiscriminator


def generator_of(config: GANConfig) -> Generator:
    return (ConvolutionalGenerator if config.architecture == "convolutional" else ResidualGenerator)(config)


def discriminator_of(config: GANConfig) -> Discriminator:
    return (ConvolutionalDiscriminator if config.architecture == "convolutional" else ResidualDiscriminator)(config)
