"""Reads the layers of a network that ncnn runs: a text with its graph, and a file with its numbers.

Only layers that have numbers are read, in the order of the graph; only convolutions and PReLU are known.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.contract.card import CheckpointError

MAGIC, HALF, WHOLE = 7767517, 0x01306B47, 0
WITHOUT = {"Input", "Split", "Concat", "BinaryOp", "Eltwise", "Interp", "PixelShuffle", "Pooling", "ReLU"}
Layer = tuple[str, Tensor, Tensor | None]  # kind, weight, bias


def read_ncnn(param: Path, numbers: Path) -> list[Layer]:
    """Raises CheckpointError for what is broken, or has layers that are not known."""
    try:
        lines = param.read_text("ascii").split("\n")
        if int(lines[0]) != MAGIC:
            raise CheckpointError("{name} is no graph of ncnn", name=param.name)
        reader, found = Reader(numbers.read_bytes()), list[Layer]()
        for line in filter(None, lines[2:]):
            kind, _, given, made, *rest = line.split()
            options = dict(pair.split("=", 1) for pair in rest[int(given) + int(made) :])
            if kind == "Convolution":
                found.append(convolution(reader, options))
            elif kind == "PReLU":
                found.append((kind, reader.floats(int(options["0"])), None))
            elif kind not in WITHOUT:
                raise CheckpointError("{name} has a layer {kind}, which is not known here", name=param.name, kind=kind)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise CheckpointError("{name} cannot be read ({reason})", name=param.name, reason=error) from error
    if reader.left:
        raise CheckpointError("{name} holds more than its graph says", name=numbers.name)
    return found


def convolution(reader: Reader, options: dict[str, str]) -> Layer:
    made, side, count = int(options["0"]), int(options["1"]), int(options["6"])
    weight = reader.tagged(count).view(made, -1, side, side)
    return "Convolution", weight, reader.floats(made) if int(options.get("5", 0)) else None


class Reader:
    """Numbers one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise ValueError("it ends too soon")
        self.at += count
        return self.content[self.at - count : self.at]

    def floats(self, count: int) -> Tensor:
        return torch.from_numpy(np.frombuffer(self.take(4 * count), "<f4").copy())

    def tagged(self, count: int) -> Tensor:
        """In the precision that is said before them; halves are padded to four bytes."""
        (tag,) = struct.unpack("<I", self.take(4))
        if tag == WHOLE:
            return self.floats(count)
        if tag != HALF:
            raise ValueError(f"numbers of a kind that is not known: {tag:#x}")
        kept = self.take(4 * math.ceil(count / 2))[: 2 * count]
        return torch.from_numpy(np.frombuffer(kept, "<f2").astype(np.float32))
