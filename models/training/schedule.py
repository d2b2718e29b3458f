"""Learning rates, precision and the randomness of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch


def warmup_stable_decay(step: int, progress: float, warmup: int = 100, decay: float = 0.3) -> float:
    """Factor of the learning rate: linear up over `warmup` steps, flat, linear down over the last `decay` of the run.

    `progress` in [0, 1] is how much of the run is done. The flat part does not depend on the run's length, so a run
    can be extended or cut short after the fact (Hu et al., "MiniCPM", 2024).
    """
    return max(0.0, min(1.0, (step + 1) / warmup, (1 - progress) / decay))


def set_learning_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
            group["lr"] = group["base_lr"] * factor


@cache
def has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported())


@contextlib.contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 autocast where the device has the instructions for it; on other CPUs it is far slower than float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_fast_bfloat16(device)):
        yield


def seed_dropout(seed: int, step: int) -> None:
    """What layers draw by themselves in a step depends on (seed, step) too."""
    torch.manual_seed(int(np.random.SeedSequence(seed, spawn_key=(step, 1)).generate_state(1)[0]))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The one source of randomness of a step. Torch's CPU generator keeps 32 bits of a seed, so both are hashed."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1)[0]))
