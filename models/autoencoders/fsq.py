"""An autoencoder whose latent is a grid of discrete tokens: finite scalar quantisation, no learned codebook."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.autoencoders.equivariance import Transform
from models.autoencoders.spatial import SpatialAutoencoder, decoder, encoder
from models.autoencoders.spec import FSQConfig


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


class FSQAutoencoder(SpatialAutoencoder):
    """Pictures of `size` pixels to a grid of size/8 x size/8 tokens and back."""

    def __init__(self, config: FSQConfig) -> None:
        super().__init__()
        self.config = config
        self.quantizer = FSQ(list(config.levels))
        self.encoder = encoder(config, len(config.levels))
        self.decoder = decoder(config, len(config.levels))

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> reconstruction of the same shape."""
        return self.decoder(self.quantizer(self.encoder(pictures).float()))

    def noise(self, count: int, random: torch.Generator) -> Tensor:
        return torch.zeros(count, 0)

    def rebuild(self, pictures: Tensor, noise: Tensor, transform: Transform) -> tuple[Tensor, Tensor]:
        """(reconstruction, zeros): rounding needs neither noise nor a divergence."""
        latent = self.quantizer(self.encoder(pictures).float())
        return self.decoder(transform.of_latent(latent)), pictures.new_zeros(len(pictures))

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> tokens (B, H/8, W/8)."""
        return self.quantizer.to_tokens(self.quantizer(self.encoder(pictures).float()))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, h, w) -> (B, 3, 8h, 8w), about [-1, 1]."""
        return self.decoder(self.quantizer.to_latents(tokens))
