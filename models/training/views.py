"""Pictures of a collection and shifted, mirrored versions of them, encoded once before a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.pictures import Collection, augment, to_unit
from models.parts.sentences import OnProgress
from models.training.schedule import mixed_precision, step_generator

PIECE = 256  # pictures


@torch.no_grad()
def encode_views(
    data: Collection,
    encode: Callable[[Tensor], Tensor],
    views: int,
    device: torch.device,
    dtype: npt.DTypeLike,
    on_progress: OnProgress = lambda done: None,
) -> npt.NDArray[Any]:
    """(items, views, ...) of what `encode` makes of pictures (B, 3, H, W) in [-1, 1]; the first view is the picture."""
    rows, count = [], len(data.items)
    for view in range(views):
        for start in range(0, count, PIECE):
            chosen = np.arange(start, min(start + PIECE, count))
            pictures = to_unit(data.pictures(chosen, device))
            if view:
                pictures = augment(pictures, step_generator(view, start), data.mirrorable[chosen])
            with mixed_precision(device):
                rows.append(encode(pictures).cpu().numpy().astype(dtype))
            on_progress(view * count + start)
    whole = np.concatenate(rows)
    return whole.reshape(views, count, *whole.shape[1:]).swapaxes(0, 1)
