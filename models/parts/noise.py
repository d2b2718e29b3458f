"""Noise of one request, from its own seed: what it becomes depends on no other request, and on no device.

From numpy's generators: torch's on the CPU would take seeds for the same that differ by 2^32.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def gaussian(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of this shape."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def gumbel(seed: int, length: int, vocabulary: int) -> Tensor:
    """(length, vocabulary) standard Gumbel noise."""
    return torch.from_numpy(np.random.default_rng(seed).gumbel(size=(length, vocabulary)).astype(np.float32))
