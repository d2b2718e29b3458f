"""Flow matching: pictures and noise on straight lines, and the way from noise to a picture.

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
    t = as_wide(t, x)
    return t * x + (1 - t) * noise


def flow_loss(predicted: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """(B,) mean squared errors of the velocity, which are those of the picture over (1 - t)^2."""
    return (predicted - x).square().flatten(1).mean(1) / (1 - t).clamp(min=CLOSEST).square()


def times(steps: int, starts: Tensor) -> Tensor:
    """(steps + 1, B) times, evenly from each one's start (B,) to 1."""
    return starts + (1 - starts) * torch.linspace(0, 1, steps + 1, device=starts.device)[:, None]


def solve(
    denoise: Denoiser,
    z: Tensor,
    schedule: Tensor,
    on_step: Callable[[int, Tensor], None],
    keep: Callable[[Tensor, Tensor], Tensor] = lambda z, t: z,
) -> Tensor:
    """From points z (B, ...) at the first times of a schedule (steps + 1, B) to pictures at its last, which is 1.

    DPM-Solver++(2M), one evaluation a step: Lu et al., "DPM-Solver++", 2022; the picture that it goes towards is
    foreseen from this evaluation and the one before. `on_step(step, x)` is told the picture as it is foreseen after
    each step; `keep(z, t)` may put back what is known of every point.
    """
    steps, before = len(schedule) - 1, None
    lengths = torch.logit(schedule.double()).diff(dim=0).float()  # of steps in half the logarithm of signal over noise
    for step in range(steps):
        t, following = schedule[step], schedule[step + 1]
        x = foreseen = denoise(z, t)
        if before is not None and step + 1 < steps:
            foreseen = x + as_wide(lengths[step] / lengths[step - 1] / 2, x) * (x - before)
        left = as_wide((1 - following) / (1 - t), x)  # of the noise
        z = keep(left * z + (as_wide(following, x) - as_wide(t, x) * left) * foreseen, following)
        before = x
        on_step(step + 1, x)
    return z


def as_wide(numbers: Tensor, x: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), to multiply (B, ...) by."""
    return numbers.view(-1, *[1] * (x.ndim - 1))
