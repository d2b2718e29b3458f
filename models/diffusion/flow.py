"""Flow matching: pictures and noise on straight lines, and solvers from noise to a picture.

Lipman et al., "Flow Matching for Generative Modeling", 2023; Liu et al., "Flow Straight and Fast", 2023. The network
predicts the picture x, the loss is on the velocity v = x - noise (Li and He, "Back to Basics", 2025).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CLOSEST = 0.05  # to the picture that a loss is weighted for; nearer, errors nobody sees would count most

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (z, t) -> x


def draw_times(count: int, mean: float, std: float, random: torch.Generator) -> Tensor:
    """(count,) times in (0, 1): sigmoids of a normal. Esser et al., "Stable Diffusion 3", 2024."""
    return torch.sigmoid(mean + std * torch.randn(count, generator=random))


def mixed(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point at time t (B,) on the line from noise at 0 to the pictures x (B, ...) at 1."""
    t = t.view(-1, *[1] * (x.ndim - 1))
    return t * x + (1 - t) * noise


def velocity(x: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Of the point z at time t (B,) below 1 towards a predicted x."""
    return (x - z) / (1 - t).view(-1, *[1] * (x.ndim - 1))


def flow_loss(predicted: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """(B,) mean squared errors of the velocity, which are those of the picture over (1 - t)^2."""
    return (predicted - x).square().flatten(1).mean(1) / (1 - t).clamp(min=CLOSEST).square()


def times(steps: int, shift: float, device: torch.device) -> Tensor:
    """(steps + 1,) times from 0 to 1; a shift below 1 takes smaller steps near the noise."""
    t = torch.linspace(0, 1, steps + 1, device=device)
    return shift * t / (1 + (shift - 1) * t)


def heun(
    denoise: Denoiser, noise: Tensor, steps: int, on_step: Callable[[int, Tensor], None], shift: float = 1.0
) -> Tensor:
    """From noise (B, ...) to pictures by Heun's second-order method; the last step is Euler's.

    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022. `on_step(step, x)` is told
    the picture as it is foreseen after each step.
    """
    z = noise
    schedule = times(steps, shift, noise.device)
    for step in range(steps):
        t, following = schedule[step].expand(len(z)), schedule[step + 1].expand(len(z))
        x = denoise(z, t)
        v = velocity(x, z, t)
        if step + 1 == steps:
            z = x
        else:
            length = (following - t).view(-1, *[1] * (z.ndim - 1))
            euler = z + length * v
            x = denoise(euler, following)
            z = z + length * (v + velocity(x, euler, following)) / 2
        on_step(step + 1, x)
    return z
