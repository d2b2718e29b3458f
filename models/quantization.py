"""Weights in eight bits, to be stored in half the room: of each row of a matrix the largest is 127 (Dettmers et al.,
"LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022, without its outliers). They are computed with
in full.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = "_scale"  # ends the name of what a row of integers is multiplied with
LEAST = 4096  # numbers of a tensor that are worth it
MOST = 127


def quantized(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices of floating-point numbers become int8, with a float32 scale (rows, 1, ...) each; the rest stays."""
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or tensor.numel() < LEAST or not tensor.is_floating_point():
            made[name] = tensor
            continue
        numbers = tensor.float()
        scale = numbers.abs().amax(tuple(range(1, tensor.ndim)), keepdim=True) / MOST
        made[name] = (numbers / scale.clamp(min=torch.finfo(torch.float32).tiny)).round().to(torch.int8)
        made[name + SCALE] = scale
    return made


def dequantized(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As they were, in float32, but for rounding. Raises ValueError where a scale does not fit."""
    made = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.int8 or (scale := made.pop(name + SCALE, None)) is None:
            continue
        if scale.shape != (len(tensor), *[1] * (tensor.ndim - 1)):
            raise ValueError(f"the scale of {name} does not fit")
        made[name] = tensor.float() * scale
    return made
