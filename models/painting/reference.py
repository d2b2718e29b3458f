"""What a network that knows photographs sees in a picture that a drawing is to go by: what it is of, and its look.

Ramesh et al., "Hierarchical Text-Conditional Image Generation with CLIP Latents" (unCLIP), 2022; Ye et al.,
"IP-Adapter", 2023. Means over space leave out where things are, so that the picture is gone by and not copied.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.data.pictures import CPU, Collection
from models.measure.features import BLOCKS, Lite0, load_lite0
from models.parts.latents import fitted
from models.parts.prompt_spec import REFERENCE_WIDTH
from models.parts.sentences import OnProgress
from models.training.views import encode_views

SIDE = 128  # pixels of a side that are looked at
MAPS = (10, 15)  # blocks at a sixteenth and a thirty-second of the side: shapes, and what they make
assert sum(BLOCKS[i][1] for i in MAPS) == REFERENCE_WIDTH


@cache
def eye(device: torch.device = CPU) -> Lite0:
    return load_lite0(MAPS[-1] + 1).to(device)


@torch.no_grad()
def seen(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, REFERENCE_WIDTH)."""
    if pictures.size(-1) != SIDE:
        pictures = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)
    maps = eye(pictures.device)(pictures)
    return torch.cat([maps[i].float().mean((2, 3)) for i in MAPS], 1)


def seen_of(picture: npt.NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) -> (REFERENCE_WIDTH,), of its middle where it is not square."""
    return seen(fitted(picture, SIDE))[0]


def seen_of_all(data: Collection, device: torch.device, on_progress: OnProgress) -> npt.NDArray[np.float16]:
    """(items, REFERENCE_WIDTH)."""
    return encode_views(data, seen, 1, device, np.float16, on_progress)[:, 0]


def some_references(seen: npt.NDArray[np.float16], share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is seen of a batch (B, REFERENCE_WIDTH) -> of a share of it, zeros elsewhere, and (B,) true where that is
    all that is given: half of them go without a prompt.
    """
    chance = torch.rand(len(seen), generator=random)
    return torch.from_numpy(seen).float() * (chance < share)[:, None], chance < share / 2
