"""What autoencoders share whose latent is a grid: an eighth of the picture's side, each cell a few channels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.equivariance import Transform
from models.autoencoders.spec import SpatialConfig


class SpatialAutoencoder(nn.Module, ABC):
    """`forward` rebuilds (B, 3, H, W) pictures in [-1, 1]; `rebuild` does so as training wants it."""

    encoder: nn.Module
    decoder: nn.Module

    @abstractmethod
    def noise(self, count: int, random: torch.Generator) -> Tensor:
        """What `rebuild` takes besides for `count` pictures, drawn on the CPU: (count, ...)."""

    @abstractmethod
    def rebuild(self, pictures: Tensor, noise: Tensor, transform: Transform) -> tuple[Tensor, Tensor]:
        """(reconstruction of the transformed pictures, (B,) KL divergence in nats)."""


class ResBlock(nn.Module):
    """Norm, activation, 3x3, twice; the second convolution starts at zero, so the block starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y)))


def blocks(channels: int, count: int) -> list[nn.Module]:
    return [ResBlock(channels) for _ in range(count)]


def encoder(config: SpatialConfig, channels: int) -> nn.Sequential:
    """(B, 3, H, W) -> (B, channels, H/8, W/8).

    Most of the work is done at a quarter and an eighth of the resolution (pixel-unshuffle stem), which is what a CPU
    can afford; the decoder is the larger half, because it is the one that people look at.
    """
    eighth, quarter, _, _ = config.widths
    return nn.Sequential(
        nn.PixelUnshuffle(4),
        nn.Conv2d(48, quarter, 3, padding=1),
        *blocks(quarter, config.encoder_blocks),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * quarter, eighth, 1),
        *blocks(eighth, 1),
        nn.GroupNorm(8, eighth),
        nn.SiLU(),
        nn.Conv2d(eighth, channels, 1),
    )


def decoder(config: SpatialConfig, channels: int) -> nn.Sequential:
    """(B, channels, h, w) -> (B, 3, 8h, 8w)."""
    eighth, quarter, half, full = config.widths
    return nn.Sequential(
        nn.Conv2d(channels, eighth, 3, padding=1),
        *blocks(eighth, 1),
        nn.Conv2d(eighth, 4 * quarter, 1),
        nn.PixelShuffle(2),
        *blocks(quarter, config.decoder_blocks),
        nn.Conv2d(quarter, 4 * half, 1),
        nn.PixelShuffle(2),
        *blocks(half, 2),
        nn.Conv2d(half, 4 * full, 1),
        nn.PixelShuffle(2),
        *blocks(full, 1),
        nn.GroupNorm(8, full),
        nn.SiLU(),
        nn.Conv2d(full, 3, 3, padding=1),
    )
