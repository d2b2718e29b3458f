"""Several processes train as one: torchrun starts them, and each takes its share of every batch.

All of a step's randomness is drawn for the whole batch before it is shared out, so one process, two processes or one
process in small pieces follow the same loss curve, to rounding. Alone, everything here does nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(hours=1)  # the others wait while the first measures or prepares


def join(device: torch.device) -> None:
    """Meet the other processes, where torchrun started some."""
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def end(code: int) -> NoReturn:
    """Leave this process. One of several skips the interpreter's clearing up: a thread of gloo that outlives its group
    may want a tensor then, which aborts.
    """
    if "RANK" not in os.environ:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def shares(batch: int, pieces: int) -> list[slice]:
    """The slices of a batch that this process works on, one after another; empty ones are left out."""
    cuts = [batch * i // (world() * pieces) for i in range(world() * pieces + 1)]
    own = range(rank() * pieces, (rank() + 1) * pieces)
    return [slice(cuts[i], cuts[i + 1]) for i in own if cuts[i] < cuts[i + 1]]


def add_up(parameters: Iterable[nn.Parameter], *others: Tensor) -> None:
    """Sum gradients, and tensors such as the loss, over all processes, in place."""
    if world() == 1:
        return
    gradients = []
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    flat = torch.cat([part.reshape(-1).float() for part in (*gradients, *others)])
    dist.all_reduce(flat)
    for part, summed in zip((*gradients, *others), flat.split([p.numel() for p in (*gradients, *others)]), strict=True):
        part.copy_(summed.view_as(part))


def largest(*values: float) -> list[float]:
    """Of each value the largest of all processes: they take the same decisions at the same step."""
    if world() == 1:
        return list(values)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    votes = torch.tensor(values, device=device, dtype=torch.float64)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return [float(vote) for vote in votes]


def agree_on(value: int) -> None:
    """Raises RuntimeError when the processes have different values: they would train different networks."""
    top, bottom = largest(value, -value)
    if top != -bottom:
        raise RuntimeError("the processes of this run have read different states")


def wait() -> None:
    """Until all processes are here."""
    if world() > 1:
        dist.barrier()


@contextmanager
def first_alone() -> Iterator[None]:
    """The block runs in the first process, then in the others, which find what it has made."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world() > 1:
        dist.barrier()
