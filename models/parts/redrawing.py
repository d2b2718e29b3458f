"""What networks share that draw a given picture again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.parts.convolutions import GRID

LUMA = torch.tensor([0.299, 0.587, 0.114])


def on_grid(picture: Tensor) -> Tensor:
    """(B, 3, H, W) with its edge repeated on the right and below, up to the next multiples of GRID."""
    height, width = picture.shape[-2:]
    padded = F.pad(picture, (0, -width % GRID, 0, -height % GRID), mode="replicate")
    return padded.contiguous(memory_format=torch.channels_last)


def with_colours_of(picture: Tensor, made: Tensor) -> Tensor:
    """The light of what was made, the colours of the picture; (B, 3, H, W) in [-1, 1]."""
    luma = LUMA.to(made).view(1, 3, 1, 1)
    light, before = ((luma * x).sum(1, keepdim=True) for x in (made, picture))
    return (picture + light - before).clamp(-1, 1)
