"""Knows the weights of Real-ESRGAN and of what is built like it, by the names of their tensors.

Wang et al., "ESRGAN", 2018; "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from models.contract.card import ZOO, CheckpointError
from models.data.pictures import to_unit
from models.upscaling import train
from models.upscaling.network import shrunk
from models.upscaling.sample import load
from models.upscaling.spec import FACTOR, UpscalingConfig

SHOWN, SIDE = "drawings-upscaler", 256  # a checkpoint that ships, and the side of what its sheet shows
OUTER = ("params_ema.", "params.")  # what some files put before every name
# As ESRGAN called its layers at first, and many still do.
FIRST_NAMES = [
    (r"model\.0\.", "conv_first."),
    (r"model\.1\.sub\.(\d+)\.RDB([123])\.conv([1-5])\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"model\.1\.sub\.\d+\.(weight|bias)", r"conv_body.\1"),
    (r"model\.3\.", "conv_up1."),
    (r"model\.6\.", "conv_up2."),
    (r"model\.8\.", "conv_hr."),
    (r"model\.10\.", "conv_last."),
]


def adopted(tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """(the config of a network for these weights, the weights by its names); None for those of something else.

    Raises CheckpointError for an upscaler that enlarges by another factor than 4.
    """
    named = {inner(name): tensor for name, tensor in tensors.items()}
    if {"conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"} <= named.keys():
        width, given = named["conv_first.weight"].shape[:2]
        if given != 3:
            raise CheckpointError("it enlarges by another factor than {factor}", factor=FACTOR)
        growth = len(named["body.0.rdb1.conv1.weight"])
        blocks = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("body."))
        return config("rrdb", width=width, blocks=blocks, growth=growth), named
    convolutions = [name for name, tensor in named.items() if tensor.ndim == 4]
    if named and len(convolutions) > 2 and all(re.fullmatch(r"body\.\d+\.(weight|bias)", name) for name in named):
        last = max(int(name.split(".")[1]) for name in named)
        if len(named[f"body.{last}.weight"]) != 3 * FACTOR**2:
            raise CheckpointError("it enlarges by another factor than {factor}", factor=FACTOR)
        return config("compact", width=len(named["body.0.weight"]), blocks=len(convolutions) - 2), named
    return None


def config(architecture: str, **shape: int) -> dict[str, Any]:
    try:
        return UpscalingConfig.model_validate({"architecture": architecture, **shape}).model_dump()
    except ValidationError as error:
        raise CheckpointError("these weights are for an architecture that is not known here") from error


def inner(name: str) -> str:
    for outer in OUTER:
        name = name.removeprefix(outer)
    for before, now in FIRST_NAMES:
        found, count = re.subn(f"^{before}", now, name)
        if count:
            return found
    return name


def said_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a card says besides: nothing."""
    return {}


def sheet(folder: Path) -> Image.Image:
    """What it makes of three drawings that were made small: those that our own upscaler shows."""
    shown = Image.open(ZOO / SHOWN / "samples.png").convert("RGB")
    corners = [(2 * SIDE, row * SIDE) for row in range(3)]  # the third of a row is the drawing as it was
    large = np.stack([np.asarray(shown.crop((x, y, x + SIDE, y + SIDE))) for x, y in corners])
    pictures = to_unit(torch.from_numpy(large).permute(0, 3, 1, 2))
    small = shrunk(pictures, FACTOR)
    made = train.enlarge(load(folder, torch.device("cpu")).network, small)
    return Image.fromarray(train.sheet(small, made, pictures))


def in_order(layers: list[tuple[str, Tensor, Tensor | None]]) -> dict[str, Tensor]:
    """By their names, where only the order of layers is known: (kind, weight, bias) each."""
    if any(kind == "PReLU" for kind, _, _ in layers):
        names = [f"body.{i}" for i in range(len(layers))]
    else:
        blocks, left = divmod(len(layers) - 6, 15)
        if left or blocks < 1:
            return {}
        dense = [f"body.{i}.rdb{j}.conv{k}" for i in range(blocks) for j in (1, 2, 3) for k in range(1, 6)]
        names = ["conv_first", *dense, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    found = {}
    for name, (_, weight, bias) in zip(names, layers, strict=True):
        found[f"{name}.weight"] = weight
        if bias is not None:
            found[f"{name}.bias"] = bias
    return found
