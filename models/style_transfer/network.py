"""Gives one picture the style of another, in one pass: a network for pictures, whose feature maps are scaled and
shifted as a second network, which sees the style picture, says.

Ghiasi et al., "Exploring the Structure of a Real-Time, Arbitrary Neural Artistic Stylization Network", 2017; Huang &
Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", 2017. Statistics of a large
picture are those of a small version of it, so that it can be worked on in tiles: Chen et al., "Towards Ultra-Resolution
Neural Style Transfer via Thumbnail Instance Normalization", 2022.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.convolutions import MirroredConv
from models.style_transfer.spec import StyleTransferConfig

EPSILON = 1e-5
Statistics: TypeAlias = "list[tuple[Tensor, Tensor]]"  # (C,) means and one over the spreads, layer by layer


class InstanceNorm:
    """Zero mean and unit variance of each channel, layer by layer, or as the statistics of another picture have it;
    then a scale and a shift.

    Each picture passes the batch normalisation of a batch of one: it is the same, and takes a fifth of the time.
    """

    def __init__(self, given: Iterable[tuple[Tensor, Tensor]] | None = None) -> None:
        self.given = None if given is None else iter(given)
        self.found: Statistics = []

    def __call__(self, x: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
        """(B, C, H, W), (B, C), (B, C) -> (B, C, H, W)."""
        if self.given is not None:
            mean, rate = next(self.given)
            return F.batch_norm(x, mean, rate**-2 - EPSILON, scales[0], shifts[0], eps=EPSILON)
        made = [
            torch.native_batch_norm(picture, scale, shift, None, None, True, 0.0, EPSILON)
            for picture, scale, shift in zip(x.split(1), scales, shifts, strict=True)
        ]
        self.found.append(made[0][1:])
        return made[0][0] if len(made) == 1 else torch.cat([picture for picture, _, _ in made])


class StyleNetwork(nn.Module):
    """(B, 3, h, w) in [-1, 1] -> (B, D): what a style is told by. Only how often something occurs counts, not where."""

    def __init__(self, config: StyleTransferConfig) -> None:
        super().__init__()
        widths = (*config.widths, config.style_width)
        convs = [
            MirroredConv(given, made, stride=1 if i == 0 else 2)
            for i, (given, made) in enumerate(pairwise((3, *widths)))
        ]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.LayerNorm(2 * width) for width in widths)  # else the first layers drown the last
        self.out = nn.Sequential(nn.Linear(2 * sum(widths), config.style), nn.GELU())

    def forward(self, pictures: Tensor) -> Tensor:
        x, found = pictures, []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(conv(x))
            wide = x.float()
            found.append(norm(torch.cat([wide.mean((2, 3)), wide.std((2, 3), correction=0)], 1)))
        told: Tensor = self.out(torch.cat(found, 1))
        return told


class StyleTransferNetwork(nn.Module):
    """A picture (B, 3, H, W) in [-1, 1], sides multiples of GRID, in a style (B, D) -> (B, 3, H, W)."""

    def __init__(self, config: StyleTransferConfig) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.widths
        self.style = StyleNetwork(config)
        self.encoder = nn.ModuleList(
            [MirroredConv(3, full), MirroredConv(full, half, stride=2), MirroredConv(half, quarter, stride=2)]
        )
        self.blocks = nn.ModuleList(MirroredConv(quarter, quarter) for _ in range(2 * config.blocks))
        self.decoder = nn.ModuleList(
            [MirroredConv(quarter, half, upsample=True), MirroredConv(half, full, upsample=True)]
        )
        self.out = MirroredConv(full, 3)
        self.widths = [quarter] * 2 * config.blocks + [half, full]
        self.modulation = nn.Linear(config.style, 2 * sum(self.widths))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, pictures: Tensor, style: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Normalised by the `statistics` of another picture where some are given; then B is 1."""
        return self.walk(pictures, style, InstanceNorm(statistics))

    def statistics_of(self, pictures: Tensor, style: Tensor) -> Statistics:
        self.walk(pictures, style, norm := InstanceNorm())
        return norm.found

    def walk(self, pictures: Tensor, style: Tensor, norm: InstanceNorm) -> Tensor:
        scales_and_shifts = iter(self.modulation(style).float().split([2 * w for w in self.widths], 1))

        def styled(x: Tensor) -> Tensor:
            scale, shift = next(scales_and_shifts).chunk(2, 1)
            return norm(x, 1 + scale, shift)

        x = pictures
        for conv in self.encoder:
            x = conv(x)
            one = torch.ones(x.shape[:2], device=x.device)
            x = F.relu(norm(x, one, torch.zeros_like(one)), inplace=True)
        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = x + styled(second(F.relu(styled(first(x)), inplace=True)))
        for conv in self.decoder:
            x = F.relu(styled(conv(x)), inplace=True)
        made: Tensor = self.out(x)
        return made

    @property
    def reach(self) -> int:
        """Pixels around a pixel that decide what it becomes, statistics apart."""
        return 1 + 2 + 4 + 4 * 2 * self.config.blocks + 4 + 2 + 1
