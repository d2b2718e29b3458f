"""What a network draws, channel by channel with mean 0 and variance 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standardized(nn.Module):
    """A network that knows the `mean` and the `scale` (C,) of its data: inside it works on normalised ones."""

    mean: Tensor
    scale: Tensor

    def keep_scale(self, channels: int) -> None:
        """Make room for those of (B, channels, H, W); until `fit_scale`, data stay as they are."""
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    @torch.no_grad()
    def fit_scale(self, x: Tensor) -> None:
        """Take the mean and the standard deviation of each channel of data (N, C, H, W)."""
        self.mean.copy_(x.mean((0, 2, 3)))
        self.scale.copy_(x.std((0, 2, 3)).clamp(min=1e-3))

    def normalized(self, x: Tensor) -> Tensor:
        """Data (B, C, H, W) -> with mean 0 and variance 1."""
        return (x - self.mean.view(-1, 1, 1)) / self.scale.view(-1, 1, 1)

    def denormalized(self, x: Tensor) -> Tensor:
        return x * self.scale.view(-1, 1, 1) + self.mean.view(-1, 1, 1)
