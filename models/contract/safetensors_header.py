"""Checks a weights file without reading its tensors: sizes are bounded before anything is believed. Torch-free."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

from models.contract.card import CheckpointError

MAX_HEADER = 16 * 2**20
MAX_TENSORS = 20_000
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1}


def check_header(path: Path) -> None:
    """Raises CheckpointError unless the file is safetensors by content.

    Every tensor has a known type, its bytes fit its shape, and together they fill the rest of the file without gaps
    or overlaps.
    """
    tensors, place = read_header(path)
    end = 0
    for first, last, expected in sorted(span(name, entry) for name, entry in tensors.items()):
        if first != end or last - first != expected:
            raise CheckpointError("the tensors of the weights overlap, leave gaps or do not fit their shapes")
        end = last
    if end != path.stat().st_size - place:
        raise CheckpointError("the weights file is cut off, or longer than its tensors")


def bytes_loaded(path: Path, number_bytes: int | None = None) -> int:
    """What the tensors of a file take in memory: with so many bytes a number, or those of the file.

    Raises CheckpointError, OSError.
    """
    tensors, _ = read_header(path)
    found = 0
    for name, entry in tensors.items():
        first, last, _ = span(name, entry)
        own = 2 if entry["dtype"].startswith("F8") else BYTES[entry["dtype"]]  # which are made bfloat16
        found += (last - first) // BYTES[entry["dtype"]] * (number_bytes or own)
    return found


def count_numbers(path: Path) -> int:
    """In all tensors of a file. Raises CheckpointError, OSError."""
    tensors, _ = read_header(path)
    return sum(math.prod(entry["shape"]) for entry in tensors.values())


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """(tensors by name as they are described, where their bytes begin). Raises CheckpointError, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
            raise CheckpointError("the weights are not a safetensors file")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise CheckpointError("the weights are not a safetensors file") from error
    if not isinstance(header, dict):
        raise CheckpointError("the weights are not a safetensors file")
    header.pop("__metadata__", None)
    if not 1 <= len(header) <= MAX_TENSORS:
        raise CheckpointError(
            "the weights hold {tensors} tensors; there may be 1 to {most}", tensors=len(header), most=MAX_TENSORS
        )
    return header, 8 + length


def span(name: str, entry: object) -> tuple[int, int, int]:
    """(first byte, end, bytes by shape and type) of a tensor."""
    if isinstance(entry, dict) and entry.get("dtype") in BYTES:
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if is_naturals(shape) and is_naturals(offsets) and len(offsets) == 2 and len(shape) <= 16:
            return offsets[0], offsets[1], math.prod(shape) * BYTES[entry["dtype"]]
    raise CheckpointError("the description of the tensor {name!r} is not valid safetensors", name=name[:80])


def is_naturals(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)
