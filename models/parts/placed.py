"""Networks where they are computed, and what they take there."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def placed(network: Network, device: torch.device) -> Network:
    """On the device, its weights with their channels last: convolutions are faster so on CPUs and GPUs."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def bytes_of(*networks: nn.Module) -> int:
    """What their weights take, as they are held."""
    return sum(held(weight.data) for network in networks for weight in network.parameters())


def held(tensor: Tensor) -> int:
    """A tensor of 8 bits, as torchao has it, is one of numbers and one of scales."""
    parts = [part for part in vars(tensor).values() if isinstance(part, Tensor)]
    return sum(map(held, parts)) if parts else tensor.numel() * tensor.element_size()
