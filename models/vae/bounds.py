"""Importance-weighted bounds of held-out pictures, as a card has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.autoencoders.likelihood import (
    Explained,
    bits_a_number,
    importance_weighted_bound,
    standard_normal_log_prob,
)
from models.data.pictures import spread
from models.measure.effort import FEWEST, Effort
from models.measure.likeness import rounded
from models.training.schedule import step_generator

DRAWS = (1, 64, 512)  # of the encoder a picture
MOST, SIDE = 64, 32  # pictures of this side, of larger ones as many pixels
BATCH = 16


@torch.no_grad()
def weighted_bounds(
    model: Explained, pictures: Tensor, effort: Effort, prior: Callable[[Tensor], Tensor] = standard_normal_log_prob
) -> dict[str, Any]:
    """In bits a number, of some of (N, 3, H, W) pictures in [-1, 1]."""
    count = max(FEWEST, MOST * SIDE**2 // pictures.size(-1) ** 2)

    def bound(few: Tensor, draws: int) -> Tensor:
        parts = enumerate(few.split(BATCH))
        found = [importance_weighted_bound(model, part, draws, step_generator(0, i), prior) for i, part in parts]
        return torch.cat(found)

    most = effort.most(min(MOST, count, len(pictures)), lambda count: bound(pictures[:count], sum(DRAWS)))
    few = pictures[spread(np.arange(len(pictures)), most)]
    found: dict[str, Any] = {"bounds_of_pictures": len(few)}
    for draws in DRAWS:
        bits = bits_a_number(model.likelihood, float(bound(few, draws).mean()), pictures[0].numel())
        found[f"bits_a_number_k{draws}"] = rounded(bits)
    return found
