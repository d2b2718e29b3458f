"""Enlarges pictures four times: convolutions at the size that is given, and one that says what is added at the end.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network", 2016; Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution" (EDSR), 2017: residual
blocks without normalisation, which would forget how loud the colours are.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.upscaling.spec import FACTOR, UpscalingConfig

SLOPE = 0.1


class ResBlock(nn.Module):
    """Two convolutions; the second starts at zero, so the block starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(x), SLOPE))


class Upscaler(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> (B, 3, 4 H, 4 W). What is added is added to a bicubic enlargement."""

    def __init__(self, config: UpscalingConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Conv2d(3, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResBlock(config.width) for _ in range(config.blocks)))
        self.out = nn.Conv2d(config.width, 3 * FACTOR**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        added = F.pixel_shuffle(self.out(F.leaky_relu(self.blocks(self.enter(pictures)), SLOPE)), FACTOR)
        return bicubic(pictures) + added


def bicubic(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 3, 4 H, 4 W)."""
    return F.interpolate(pictures.float(), scale_factor=FACTOR, mode="bicubic", align_corners=False)


def shrunk(pictures: Tensor, factor: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, H / factor, W / factor), without what small pixels cannot hold."""
    height, width = pictures.shape[-2:]
    size = (height // factor, width // factor)
    return F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
