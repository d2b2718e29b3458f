"""The only reader and writer of weights: `model.safetensors`, in float16 or int8, beside a JSON card with a format
version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.contract.card import WEIGHTS, ZOO, CheckpointError, find, read_card, write_card
from models.contract.files import whole_folder
from models.quantization import dequantized, quantized

Network = TypeVar("Network", bound=nn.Module)
__all__ = ["ZOO", "CheckpointError", "find", "read_card"]


def write_model(
    folder: Path, network: nn.Module, card: dict[str, Any], others: Mapping[str, str | bytes] | None = None
) -> dict[str, Any]:
    """Write a network, its card and the other files that it needs; the folder appears whole or not at all.

    Returns the card, with the SHA-256 of every file. Raises CheckpointError for a weight beyond float16.
    """
    weights_of = {name: half(tensor) for name, tensor in network.state_dict().items()}
    if not_finite(weights_of):
        raise CheckpointError("some weights are too large for float16, or NaN")
    contents = {name: given.encode() if isinstance(given, str) else given for name, given in (others or {}).items()}
    return write(folder, weights_of, {**card, "parameters": sum(p.numel() for p in network.parameters())}, contents)


def write(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], others: dict[str, bytes]) -> dict[str, Any]:
    with whole_folder(folder) as temporary:
        weights = temporary / WEIGHTS
        save_file(tensors, weights)
        files = {}
        for name, content in others.items():
            (temporary / name).write_bytes(content)
            files[name] = hashlib.sha256(content).hexdigest()
        files[WEIGHTS] = hashlib.sha256(weights.read_bytes()).hexdigest()
        return write_card(temporary, card, files)


def quantize(folder: Path) -> None:
    """Store the weights of a checkpoint in eight bits. Raises CheckpointError."""
    card, tensors = opened(folder)
    others = {name: read_bytes(folder, name, card) for name in card["files"] if name != WEIGHTS}
    write(folder, quantized(tensors), card, others)


def not_finite(tensors: dict[str, Tensor]) -> str | None:
    """Name of the first that holds NaN or infinite numbers."""
    return next((name for name, tensor in tensors.items() if not torch.isfinite(readable(tensor)).all()), None)


def readable(tensor: Tensor) -> Tensor:
    """Numbers of 8 bits and a point have hardly any functions of their own."""
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor


def half(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()


def read_bytes(folder: Path, name: str, card: dict[str, Any]) -> bytes:
    """A file that the card lists. Raises CheckpointError when it is missing or has changed."""
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise CheckpointError("{name} cannot be read ({reason})", name=name, reason=error) from error
    if hashlib.sha256(content).hexdigest() != card.get("files", {}).get(name):
        raise CheckpointError("{name} has changed since it was written", name=name)
    return content


def read_text(folder: Path, name: str, card: dict[str, Any]) -> str:
    """The same of a text file."""
    try:
        return read_bytes(folder, name, card).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("{name} cannot be read ({reason})", name=name, reason=error) from error


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Tensors of a weights file in their own types, mapped from the disk; a network's own numbers are what they become.
    Those in eight bits come in full.

    Raises CheckpointError when it is broken, changed or holds NaN.
    """
    try:
        if sha256:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise CheckpointError("the weights file has changed since it was registered")
        tensors = dequantized(load_file(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError("the weights cannot be read ({reason})", reason=error) from error
    if not_finite(tensors):
        raise CheckpointError("the weights hold NaN or infinite numbers")
    return tensors


def fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Raises CheckpointError when names or shapes differ from the network's."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError("the weights are for another architecture") from error


def load_into(network: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Ready to draw. Raises CheckpointError when names or shapes differ from the network's."""
    fill(network, tensors)
    return network.eval().requires_grad_(False)


def opened(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(card, tensors) of a checkpoint. Raises CheckpointError when it is broken."""
    card = read_card(folder)
    return card, read_weights(folder / WEIGHTS, card["files"][WEIGHTS])


def loaded(folder: Path, make: Callable[[dict[str, Any]], Network]) -> tuple[Network, dict[str, Any]]:
    """(network, card) of a checkpoint, ready to draw. `make` makes a network of the card's `config`.

    Raises CheckpointError when it is broken or another one; what `make` raises when the config is of something else.
    """
    card, weights = opened(folder)
    network = make(card["config"])
    load_into(network, weights)
    return network, card
