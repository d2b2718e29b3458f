"""The residual architecture: no normalisation, grouped convolutions, after Huang et al., "The GAN is dead; long live
the GAN! A Modern Baseline GAN" (R3GAN), 2024.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contract.latent_spec import SMALLEST_GRID
from models.gan.spec import GANConfig

GROUP = 16  # channels of a group of the 3x3 convolutions
SLOPE = 0.2


class ResBlock(nn.Module):
    """1x1 to twice the channels, grouped 3x3, 1x1 back. The last one starts at zero, so the block as the identity."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.expand = nn.Conv2d(channels, inner, 1)
        self.spread = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // GROUP)
        self.project = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.expand, self.spread):
            # Fixup (Zhang et al., 2019): what all blocks add up to does not grow with their number.
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            layer.weight.data *= blocks**-0.25
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.expand(x), SLOPE)
        y = F.leaky_relu(self.spread(y), SLOPE)
        return x + self.project(y)


class Upsample(nn.Module):
    """Twice the side by bilinear interpolation, after a 1x1 convolution where the channels change."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, out, 1, bias=False) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.mix(x), scale_factor=2.0, mode="bilinear", align_corners=False)


class Downsample(nn.Module):
    """Half the side by averaging, before a 1x1 convolution where the channels change."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, out, 1, bias=False) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.avg_pool2d(x, 2))
        return mixed


def tower(widths: list[int], blocks: int, resample: type[Upsample] | type[Downsample]) -> nn.Sequential:
    """Residual blocks on each grid, with a change of resolution between grids."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        if i:
            layers.append(resample(widths[i - 1], width))
        layers += [ResBlock(width, blocks * len(widths)) for _ in range(blocks)]
    return nn.Sequential(*layers)


def with_labels(embedding: nn.Embedding | None, latents: Tensor, labels: Tensor | None) -> Tensor:
    """(B, latent), (B,) -> (B, 2 latent) of a generator that draws for labels; else the latents alone."""
    if embedding is None:
        return latents
    assert labels is not None, "this generator draws for labels"
    return torch.cat([latents, embedding(labels)], 1)


class ResidualGenerator(nn.Module):
    """Latents, and labels where it has some, to pictures."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.embedding = nn.Embedding(config.classes, config.latent) if config.classes else None
        inputs = config.latent * (2 if config.classes else 1)
        self.scale = nn.Linear(inputs, first, bias=False)
        nn.init.normal_(self.scale.weight, std=1 / math.sqrt(inputs))
        self.basis = nn.Parameter(torch.randn(first, SMALLEST_GRID, SMALLEST_GRID))
        self.tower = tower(config.widths, config.blocks, Upsample)
        self.out = nn.Conv2d(last, 3 * config.patch**2, 1, bias=False)
        nn.init.normal_(self.out.weight, std=1 / math.sqrt(last))
        self.to_pixels = nn.PixelShuffle(config.patch)

    @property
    def first_layer(self) -> nn.Linear:
        return self.scale

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent) of a standard normal, (B,) in [0, classes) -> (B, 3, size, size), about [-1, 1]."""
        x = self.scale(with_labels(self.embedding, latents, labels))[:, :, None, None] * self.basis
        x = x.contiguous(memory_format=torch.channels_last)
        pictures: Tensor = self.to_pixels(self.out(self.tower(x)))
        return pictures


class ResidualDiscriminator(nn.Module):
    """Pictures, and labels where it has some, to how real they look: one unbounded number each."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        last, first = config.widths[0], config.widths[-1]
        self.to_patches = nn.PixelUnshuffle(config.patch)
        self.enter = nn.Conv2d(3 * config.patch**2, first, 1)
        self.tower = tower(config.widths[::-1], config.blocks, Downsample)
        self.basis = nn.Conv2d(last, last, SMALLEST_GRID, groups=last, bias=False)
        self.embedding = nn.Embedding(config.classes, last) if config.classes else None
        self.out = nn.Linear(last, 1, bias=False)

    def advance(self) -> None:
        """Called once a step, whoever works on how many pieces of it."""

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, 3, size, size) in [-1, 1] -> (B,)."""
        x = self.tower(self.enter(self.to_patches(pictures)))
        features = F.leaky_relu(self.basis(x), SLOPE).flatten(1)
        scores = self.out(features).squeeze(1)
        if self.embedding is not None:
            # Projection discriminator (Miyato and Koyama, 2018).
            scores = scores + (self.embedding(labels) * features).sum(1) / math.sqrt(features.size(1))
        return scores.float()
