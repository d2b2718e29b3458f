"""Mixtures of latents that are normally distributed, and the ways between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.contract.sampling import Request


def on_the_way(request: Request, count: int) -> list[float]:
    """Weights of a job's work along a chain of `count`: from the first given to the second, to the third ..."""
    place = request.index / (request.params.count - 1) * (count - 1)
    return [max(0.0, 1 - abs(place - i)) for i in range(count)]


def mixing_weights(request: Request, count: int) -> list[float]:
    """How much of each of `count` works a request takes; they sum to one."""
    if request.params.path and request.params.count > 1:
        return on_the_way(request, count)
    weights = request.params.weights or [1.0] * count
    return [weight / sum(weights) for weight in weights]


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """From (D,) `a` at t = 0 to `b` at t = 1 over the sphere that normal latents lie near.

    A straight line would pass nearer to the middle, where latents are unlike any that were learnt.
    Shoemake, "Animating Rotation with Quaternion Curves", 1985; White, "Sampling Generative Networks", 2016.
    """
    length = (1 - t) * a.norm() + t * b.norm()
    one, other = a / a.norm().clamp(min=1e-8), b / b.norm().clamp(min=1e-8)
    angle = torch.acos((one @ other).clamp(-1, 1)).item()
    if math.sin(angle) < 1e-4:  # the same direction, or opposite ones: no arc is shortest
        return a + t * (b - a)
    mixed = (math.sin((1 - t) * angle) * one + math.sin(t * angle) * other) / math.sin(angle)
    return length * mixed


def mixture(latents: list[Tensor], weights: list[float]) -> Tensor:
    """(D,) of some; of two by `slerp`, of more by their weighted mean at their weighted length."""
    used = [(latent, weight) for latent, weight in zip(latents, weights, strict=True) if weight > 0]
    if len(used) == 1:
        return used[0][0]
    if len(used) == 2:
        return slerp(used[0][0], used[1][0], used[1][1])
    mean = sum((weight * latent for latent, weight in used), start=torch.zeros_like(used[0][0]))
    length = sum(weight * float(latent.norm()) for latent, weight in used)
    return mean * length / mean.norm().clamp(min=1e-8)
