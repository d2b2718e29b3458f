"""Pictures in another size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resized(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, C, H, W) in [-1, 1] -> (B, C, *size), without what small pixels cannot hold."""
    return F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
