"""Layers of convolutional networks that make pictures."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

GRID = 4  # sides are multiples of it, where pictures are made of pictures


class CellNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each cell (Ba, Kiros and Hinton, 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MirroredConv(nn.Conv2d):
    """Sees its edge mirrored; after nearest upsampling, which leaves no checks, where it is to be."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, upsample: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest") if self.upsample else x)
