"""Gives one picture the style of another, in one pass: a network for pictures, whose feature maps are scaled and
shifted as a second network, which sees the style picture, says.

Ghiasi et al., "Exploring the Structure of a Real-Time, Arbitrary Neural Artistic Stylization Network", 2017; Huang &
Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", 2017. Statistics of a large
picture are those of a small version of it, so that it can be worked on in tiles: Chen et al., "Towards Ultra-Resolution
Neural Style Transfer via Thumbnail Instance Normalization", 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.style_transfer.spec import StyleTransferConfig

GRID = 4  # sides are multiples of it within the network
EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """Zero mean and unit variance of each channel; `kept` takes statistics of another picture in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: tuple[Tensor, Tensor] | None = None
        self.is_keeping = False

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is not None and not self.is_keeping:
            mean, scale = self.kept
        else:
            variance, mean = torch.var_mean(x.float(), (2, 3), correction=0, keepdim=True)
            scale = (variance + EPSILON).rsqrt()
            if self.is_keeping:
                self.kept = mean, scale
        return (x - mean.to(x.dtype)) * scale.to(x.dtype)


class Conv(nn.Module):
    """A convolution that sees its edge mirrored, after nearest upsampling, normalised."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, padding_mode="reflect")
        self.norm = InstanceNorm()

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest") if self.upsample else x
        normalised: Tensor = self.norm(self.conv(x))
        return normalised


class StyleNetwork(nn.Module):
    """(B, 3, h, w) in [-1, 1] -> (B, D): what a style is told by. Only how often something occurs counts, not where."""

    def __init__(self, config: StyleTransferConfig) -> None:
        super().__init__()
        widths = (3, *config.widths, config.style_width)
        self.convs = nn.ModuleList(
            nn.Conv2d(given, made, 3, 1 if i == 0 else 2, padding=1, padding_mode="reflect")
            for i, (given, made) in enumerate(pairwise(widths))
        )
        seen = 2 * sum(widths[1:])
        self.out = nn.Sequential(nn.LayerNorm(seen), nn.Linear(seen, config.style), nn.GELU())

    def forward(self, pictures: Tensor) -> Tensor:
        x, found = pictures, []
        for conv in self.convs:
            x = F.relu(conv(x))
            wide = x.float()
            found += [wide.mean((2, 3)), wide.std((2, 3), correction=0)]
        told: Tensor = self.out(torch.cat(found, 1))
        return told


class StyleTransferNetwork(nn.Module):
    """A picture (B, 3, H, W) in [-1, 1], sides multiples of GRID, in a style (B, D) -> (B, 3, H, W)."""

    def __init__(self, config: StyleTransferConfig) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.widths
        self.style = StyleNetwork(config)
        self.encoder = nn.ModuleList([Conv(3, full), Conv(full, half, 2), Conv(half, quarter, 2)])
        self.blocks = nn.ModuleList(Conv(quarter, quarter) for _ in range(2 * config.blocks))
        self.decoder = nn.ModuleList([Conv(quarter, half, upsample=True), Conv(half, full, upsample=True)])
        self.out = nn.Conv2d(full, 3, 3, padding=1, padding_mode="reflect")
        self.widths = [quarter] * 2 * config.blocks + [half, full]
        self.modulation = nn.Linear(config.style, 2 * sum(self.widths))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, pictures: Tensor, style: Tensor) -> Tensor:
        scales_and_shifts = iter(self.modulation(style)[..., None, None].split([2 * w for w in self.widths], 1))

        def styled(normalised: Tensor) -> Tensor:
            scale, shift = next(scales_and_shifts).to(normalised.dtype).chunk(2, 1)
            return normalised * (1 + scale) + shift

        x = pictures
        for conv in self.encoder:
            x = F.relu(conv(x))
        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = x + styled(second(F.relu(styled(first(x)))))
        for conv in self.decoder:
            x = F.relu(styled(conv(x)))
        made: Tensor = self.out(x)
        return made

    @property
    def reach(self) -> int:
        """Pixels around a pixel that decide what it becomes, statistics apart."""
        return 1 + 2 + 4 + 4 * 2 * self.config.blocks + 4 + 2 + 1

    @property
    def norms(self) -> Iterator[InstanceNorm]:
        return (module for module in self.modules() if isinstance(module, InstanceNorm))

    @contextmanager
    def statistics_of(self, pictures: Tensor, style: Tensor) -> Iterator[None]:
        """Within, everything is normalised as these pictures are."""
        try:
            for norm in self.norms:
                norm.is_keeping = True
            self(pictures, style)
            for norm in self.norms:
                norm.is_keeping = False
            yield
        finally:
            for norm in self.norms:
                norm.kept, norm.is_keeping = None, False
