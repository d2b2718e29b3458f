"""In which order a picture's tokens are drawn: what is known of it first, then the rest, each in reading order.

Bavarian et al., "Efficient Training of Language Models to Fill in the Middle", 2022, on a grid; that learning in other
orders helps the usual one is found by Yu et al., "Randomized Autoregressive Visual Generation", 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = 3  # of gaps: scattered tokens, a rectangle, all around a rectangle


def order_of(gap: Tensor) -> Tensor:
    """(B, N) true where a token is to be drawn -> (B, N) places: those that are known, then those that are not."""
    return gap.to(torch.uint8).sort(dim=1, stable=True).indices


def draw_gaps(count: int, grid: int, share: float, random: torch.Generator) -> Tensor:
    """(count, grid * grid): about a `share` of pictures with gaps of several kinds and sizes, the rest all gap."""
    kind = torch.randint(KINDS, (count, 1), generator=random)
    scattered = torch.rand(count, grid**2, generator=random) < torch.rand(count, 1, generator=random)
    sides = 1 + torch.rand(count, 2, generator=random) * grid
    corners = torch.rand(count, 2, generator=random) * (grid + 1 - sides)
    line = torch.arange(grid) + 0.5
    rows, columns = ((line > corners[:, i, None]) & (line < corners[:, i, None] + sides[:, i, None]) for i in range(2))
    rectangle = (rows[:, :, None] & columns[:, None, :]).flatten(1)
    gap = torch.where(kind == 0, scattered, torch.where(kind == 1, rectangle, ~rectangle))
    whole = torch.rand(count, 1, generator=random) >= share
    return gap | whole
