"""Noise of one request, from its own seed: what it becomes depends on no other request, and on no device.

From numpy's generators: torch's on the CPU would take seeds for the same that differ by 2^32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def gaussian(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of this shape."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def gumbel(seed: int, length: int, vocabulary: int, stream: int = 0) -> Tensor:
    """(length, vocabulary) standard Gumbel noise; other streams of a seed have noise of their own."""
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,) if stream else ()))
    return torch.from_numpy(random.gumbel(size=(length, vocabulary)).astype(np.float32))


def truncated_normal(uniform: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.float64]:
    """A standard normal cut off at +-`limit`, by its inverse distribution: a smooth function of both arguments.

    Brock et al., "Large Scale GAN Training" (BigGAN), 2019: narrower than in training gives likelier pictures.
    """
    edge = torch.special.ndtr(torch.tensor(limit, dtype=torch.float64))
    position = (1 - edge) + torch.from_numpy(uniform) * (2 * edge - 1)
    return np.asarray(torch.special.ndtri(position))
