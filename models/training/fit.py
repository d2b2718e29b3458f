"""The loop that all training shares: when a run logs, measures itself and saves. What a step learns is the family's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from models.data.pictures import Indices
from models.training import parallel
from models.training.ema import EMA
from models.training.run import Run
from models.training.state import Part, pack, unpack

Metrics: TypeAlias = Callable[[], dict[str, float]]  # called where they are logged: on a GPU that waits for the step


def fit(
    run: Run,
    step: Callable[[int], tuple[int, Metrics]],
    parts: Mapping[str, Part],
    measure: Callable[[int], None] | None = None,
    *,
    log_every: int = 50,
    numbers: Mapping[str, Tensor] | None = None,
) -> int:
    """Train until the run is over; returns the steps done.

    `step(k)` trains on the k-th batch and returns (items in it, metrics). It draws all randomness from (seed, k): a run
    that is interrupted goes on bit for bit. `measure(done)` looks at held-out items. A state is the `parts` by name,
    and `numbers`, tensors that are filled in place.
    """
    numbers = numbers or {}
    done, tensors = run.restore()
    if tensors:
        unpack(tensors, **parts)
        for name, number in numbers.items():
            if name in tensors:  # earlier states may lack it
                number.copy_(tensors[name])
    for k in run.budget.steps_from(done):
        count, metrics = step(k)
        done = k + 1
        if run.log.is_due(done, log_every):
            run.log.step(done, count, **metrics())
        if measure and run.budget.measure_is_due(done):
            with run.log.spend("measuring"):
                measure(done)
        if run.budget.checkpoint_is_due(done):
            run.save(done, {**pack(**parts), **{name: number.clone() for name, number in numbers.items()}})
    return done


class Order(Protocol):
    """Which of `indices` each step sees, `batch` at a time."""

    batch: int
    indices: Indices


def backward(
    run: Run,
    network: nn.Module,
    optimizers: Iterable[torch.optim.Optimizer],
    count: int,
    losses: Callable[[slice], tuple[Tensor, Tensor]],
    figures: int = 1,
) -> Tensor:
    """Gradients of a mean over a batch of `count`, which is worked on piece by piece and by all processes.

    `losses(rows)` gives (loss to descend, so many `figures`) of some rows; returns the figures' means over the batch.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    means = torch.zeros(figures, device=run.device)
    for rows, weight in run.shares(count):
        loss, found = losses(rows)
        (weight * loss).backward()
        means += weight * found.detach()
    parallel.add_up(network.parameters(), means)
    return means


def descend(
    run: Run, k: int, loss: Tensor, weights: Iterable[nn.Parameter], optimizers: Iterable[torch.optim.Optimizer]
) -> Tensor:
    """One step of the optimizers along gradients of norm 1 at most; returns the norm before. Raises Diverged."""
    run.watch(k + 1, loss)
    norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return norm


def learn(
    run: Run,
    k: int,
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    ema: EMA[Any],
    order: Order,
    learning_rate: float,
    loss: Callable[[slice], Tensor],
) -> tuple[int, Metrics]:
    """A whole step of a network that descends one `loss(rows)`, and what is logged of it."""

    def losses(rows: slice) -> tuple[Tensor, Tensor]:
        found = loss(rows)
        return found, found[None]

    (mean,) = backward(run, network, optimizers, order.batch, losses)
    norm = descend(run, k, mean, network.parameters(), optimizers)
    ema.update(network, k)
    return order.batch, lambda: {
        "loss": mean.item(),
        "gradient_norm": norm.item(),
        "learning_rate": learning_rate,
        "epoch": (k + 1) * order.batch / len(order.indices),
    }
