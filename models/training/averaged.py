"""A network that Muon and AdamW train, and its average: what all that descend one loss have."""

from __future__ import annotations

from typing import Protocol, TypeVar

import torch
from torch import nn

from models.training.ema import EMA
from models.training.optimizers import muon_and_adamw, split_parameters
from models.training.state import Part

Network = TypeVar("Network", bound=nn.Module)


class Rates(Protocol):
    """What parameters of a training say of it."""

    muon_learning_rate: float
    adamw_learning_rate: float
    weight_decay: float
    ema_decay: float


def averaged(
    network: Network, params: Rates, *inside: str
) -> tuple[list[torch.optim.Optimizer], EMA[Network], dict[str, Part]]:
    """(optimizers, average, the parts of a state). Muon has the matrices of layers whose names begin with one of
    `inside`, AdamW the rest.
    """
    optimizers = muon_and_adamw(
        *split_parameters(network, *inside),
        muon_lr=params.muon_learning_rate,
        adamw_lr=params.adamw_learning_rate,
        weight_decay=params.weight_decay,
    )
    ema = EMA(network, params.ema_decay)
    return optimizers, ema, {"network": network, "ema": ema.average, "muon": optimizers[0], "adamw": optimizers[1]}
