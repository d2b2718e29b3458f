"""An autoencoder whose latent is a grid of real numbers, kept near a normal: what latent diffusion works in.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.autoencoders.equivariance import Transform
from models.autoencoders.likelihood import divergence, reparameterize
from models.autoencoders.spatial import SpatialAutoencoder, decoder, encoder
from models.autoencoders.spec import KLConfig

LARGEST_LOG_VARIANCE = 10.0


class KLAutoencoder(SpatialAutoencoder):
    """Pictures to (latent, H/8, W/8) real numbers and back."""

    def __init__(self, config: KLConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config, 2 * config.latent)
        self.decoder = decoder(config, config.latent)

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] -> mean and log-variance, (B, latent, H/8, W/8) each."""
        mean, log_variance = self.encoder(pictures).float().chunk(2, 1)
        return mean, log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)

    def forward(self, pictures: Tensor) -> Tensor:
        """Reconstruction from the mean."""
        rebuilt: Tensor = self.decoder(self.posterior(pictures)[0])
        return rebuilt

    def noise(self, count: int, random: torch.Generator) -> Tensor:
        side = self.config.size // 8
        return torch.randn(count, self.config.latent, side, side, generator=random)

    def rebuild(self, pictures: Tensor, noise: Tensor, transform: Transform) -> tuple[Tensor, Tensor]:
        """(reconstruction from a drawn latent, (B,) KL divergence in nats)."""
        mean, log_variance = self.posterior(pictures)
        latent = reparameterize(mean, log_variance, noise.to(mean))
        rebuilt: Tensor = self.decoder(transform.of_latent(latent))
        return rebuilt, divergence(mean, log_variance).flatten(1).sum(1)
