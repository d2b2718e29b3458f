"""Exponential moving average of a network's weights, with a ramp so that early averages follow quickly."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """Keeps `average`, a copy of `network` whose parameters trail it: a <- a + (1 - decay) (p - a)."""

    def __init__(self, network: Network, decay: float = 0.999) -> None:
        self.average: Network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged = [p.data for p in self.average.parameters()]
        torch._foreach_lerp_(averaged, [p.data for p in network.parameters()], 1 - decay)
        for ours, theirs in zip(self.average.buffers(), network.buffers(), strict=True):
            ours.copy_(theirs)
