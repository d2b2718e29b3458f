"""What networks share that draw a given picture again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.contract.message import Message
from models.contract.painting import MASK
from models.contract.redrawing import pixels
from models.contract.sampling import Request
from models.contract.values import Picture, Value
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


def within(request: Request, longest: int) -> tuple[Request, Message | None]:
    """The request with pictures of at most so many pixels a side; and what to say of the one that is drawn on."""
    made = smaller(request, lambda height, width: longest / max(height, width))
    for before, after in zip(request.images[:1], made.images, strict=False):
        if before is not after:
            was, now = (pixels(each.shape[1], each.shape[0]) for each in (before, after))
            return made, Message("The picture of {was} pixels was made smaller first: {now}", was=was, now=now)
    return made, None


def smaller(request: Request, scale_of: Callable[[int, int], float]) -> Request:
    """With pictures so many times as large as (height, width) leads to, where that is less than once."""

    def scaled(role: str, value: Value) -> Value:
        if not isinstance(value, Picture) or (scale := scale_of(*value.pixels.shape[:2])) >= 1:
            return value
        height, width = (round(scale * side) for side in value.pixels.shape[:2])
        # What is black in a mask stays so: no filter that overshoots.
        resampling = Image.Resampling.BOX if role == MASK.role else Image.Resampling.LANCZOS
        return Picture(np.asarray(Image.fromarray(value.pixels).resize((width, height), resampling)))

    inputs = {role: [scaled(role, value) for value in given] for role, given in request.inputs.items()}
    return replace(request, inputs=inputs)
