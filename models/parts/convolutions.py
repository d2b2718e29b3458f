"""Convolutions of networks that make pictures of pictures: at the whole size, a half, and a quarter."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

GRID = 4  # sides are multiples of it


class MirroredConv(nn.Conv2d):
    """Sees its edge mirrored; after nearest upsampling, which leaves no checks, where it is to be."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, upsample: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest") if self.upsample else x)
