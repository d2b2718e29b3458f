"""Latents that turn and shrink with their pictures, which makes them smoother and easier to learn to draw.

Kouzelis et al., "EQ-VAE: Equivariance Regularized Latent Space for Improved Generative Image Modeling", 2025: a part of
the steps rebuilds a turned or shrunk picture from the latent turned or shrunk alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (1.0, 0.75, 0.5)


@dataclass(frozen=True)
class Transform:
    """Quarter turns, then a scale; the same for a latent and for its picture."""

    turns: int = 0
    scale: float = 1.0

    def of_latent(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h', w'), of the scale's part of the cells, at least one."""
        height, width = latent.shape[-2:]
        return self.apply(latent, max(1, round(self.scale * height)), max(1, round(self.scale * width)))

    def of_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, 8 h, 8 w) -> (B, 3, 8 h', 8 w')."""
        height, width = (side // 8 for side in pictures.shape[-2:])
        return self.apply(pictures, 8 * max(1, round(self.scale * height)), 8 * max(1, round(self.scale * width)))

    def apply(self, x: Tensor, height: int, width: int) -> Tensor:
        turned = torch.rot90(x, self.turns, (2, 3)) if self.turns else x
        if self.scale == 1:
            return turned
        size = (width, height) if self.turns % 2 else (height, width)
        return F.interpolate(turned, size, mode="bilinear", antialias=True)


def draw(part: float, random: torch.Generator) -> Transform:
    """Any of them in `part` of the cases, else none."""
    if not part:
        return Transform()
    changes = bool(torch.rand((), generator=random) < part)
    choice = int(torch.randint(1, 4 * len(SCALES), (), generator=random))
    return Transform(choice % 4, SCALES[choice // 4]) if changes else Transform()
