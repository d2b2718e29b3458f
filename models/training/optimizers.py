"""Muon for hidden matrices, and the split of a network's parameters between it and AdamW."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from models.training.schedule import has_fast_bfloat16


def orthogonalize(update: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices of `update` (N, rows, columns), by a quintic Newton-Schulz iteration.

    Runs in bfloat16 where that is fast, which is exact enough here; it is very slow on CPUs that lack it.
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update / (update.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if has_fast_bfloat16(update.device):
        x = x.bfloat16()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).type_as(update)


class Muon(torch.optim.Optimizer):
    """Momentum whose every update is orthogonalised; for matrices inside a network only.

    Those of one shape go together: a GPU would spend the time on starting small products.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for (rows, columns), matrices in alike.items():
                updates = orthogonalize(torch.stack([self.momentum(p, group["momentum"]) for p in matrices]))
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                # The scale keeps the root mean square of an update the same for every shape.
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                torch._foreach_add_(matrices, list(updates.unbind()), alpha=-rate)

    def momentum(self, p: Tensor, share: float) -> Tensor:
        """Nesterov's."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer: Tensor = state["momentum_buffer"].lerp_(p.grad, 1 - share)
        return p.grad.lerp(buffer, share)


def split_parameters(network: nn.Module, *inside: str) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices of layers whose names begin with one of `inside`, everything else)."""
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim == 2 and name.endswith(".weight")
        (hidden if is_matrix and name.startswith(inside) else others).append(parameter)
    return hidden, others


def muon_and_adamw(
    hidden: list[nn.Parameter], others: list[nn.Parameter], *, muon_lr: float, adamw_lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Muon over `hidden` matrices, AdamW over `others` (embeddings, gains, heads)."""
    return [
        Muon(hidden, lr=muon_lr, weight_decay=weight_decay),
        torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
