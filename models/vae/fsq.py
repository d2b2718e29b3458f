"""An autoencoder whose latent is a grid of discrete tokens: finite scalar quantisation, no learned codebook."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.vae.spec import FSQConfig


class FSQ(nn.Module):
    """Rounds each of a few bounded channels to its own number of levels; the product of levels is the vocabulary.

    No codebook, so no dead codes. Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", 2023.
    """

    def __init__(self, levels: list[int]) -> None:
        super().__init__()
        self.size = int(torch.tensor(levels).prod())
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor([1, *levels[:-1]]).cumprod(0), persistent=False)
        self.levels: Tensor
        self.basis: Tensor

    def forward(self, z: Tensor) -> Tensor:
        """(B, C, H, W) any real -> (B, C, H, W) on the grid in [-1, 1], with a straight-through gradient."""
        levels = self.levels.view(-1, 1, 1)
        half = (levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        bounded = torch.tanh(z + torch.atanh(offset / half)) * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / (levels // 2)

    def to_tokens(self, quantized: Tensor) -> Tensor:
        """(B, C, H, W) on the grid -> (B, H, W) integers in [0, size)."""
        half = (self.levels // 2).view(-1, 1, 1)
        return ((quantized * half + half).round().long() * self.basis.view(-1, 1, 1)).sum(1)

    def to_latents(self, tokens: Tensor) -> Tensor:
        """(B, H, W) integers -> (B, C, H, W) on the grid."""
        half = (self.levels // 2).view(-1, 1, 1)
        digits = tokens[:, None] // self.basis.view(-1, 1, 1) % self.levels.view(-1, 1, 1)
        return (digits - half) / half


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


class FSQAutoencoder(nn.Module):
    """Pictures of `size` pixels to a grid of size/8 x size/8 tokens and back.

    Most of the work is done at a quarter and an eighth of the resolution (pixel-unshuffle stem), which is what a CPU
    can afford; the decoder is the larger half, because it is the one that people look at.
    """

    def __init__(self, config: FSQConfig) -> None:
        super().__init__()
        self.config = config
        eighth, quarter, half, full = config.widths
        self.quantizer = FSQ(list(config.levels))
        latent = len(config.levels)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, quarter, 3, padding=1),
            *blocks(quarter, config.encoder_blocks),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * quarter, eighth, 1),
            *blocks(eighth, 1),
            nn.GroupNorm(8, eighth),
            nn.SiLU(),
            nn.Conv2d(eighth, latent, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, eighth, 3, padding=1),
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

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> reconstruction of the same shape."""
        return self.decoder(self.quantizer(self.encoder(pictures).float()))

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> tokens (B, H/8, W/8)."""
        return self.quantizer.to_tokens(self.quantizer(self.encoder(pictures).float()))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, h, w) -> (B, 3, 8h, 8w), about [-1, 1]."""
        return self.decoder(self.quantizer.to_latents(tokens))
