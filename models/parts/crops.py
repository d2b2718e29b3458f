"""Parts of pictures at chance places."""

from __future__ import annotations

import torch
from torch import Tensor


def crops(pictures: Tensor, side: int, random: torch.Generator, turned: bool = False, grid: int = 1) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side), from any multiples of `grid`, some of them mirrored, or `turned` by quarters
    too.
    """
    room = [(length - side) // grid + 1 for length in pictures.shape[-2:]]
    found = []
    for picture in pictures:
        top, left = (grid * int(torch.randint(0, most, (), generator=random)) for most in room)
        turns, mirrored = int(torch.randint(0, 4, (), generator=random)), bool(torch.rand((), generator=random) < 0.5)
        crop = torch.rot90(picture[:, top : top + side, left : left + side], turns if turned else 0, (1, 2))
        found.append(crop.flip(-1) if mirrored else crop)
    return torch.stack(found)
