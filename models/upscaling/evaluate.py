"""Figures of an upscaler on pictures that it never saw, beside those of a bicubic filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.pictures import Collection, spread, to_unit
from models.measure.effort import Effort
from models.measure.features import PerceptualLoss
from models.measure.metrics import psnr
from models.training.schedule import step_generator
from models.upscaling.degrade import made_small
from models.upscaling.network import bicubic
from models.upscaling.sample import load
from models.upscaling.train import enlarge, sheet

MEASURED, SHOWN = 200, 8


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet): of pictures made small by filters alone, and of damaged ones. Where nothing is held
    out, training pictures are shown.
    """
    network = load(folder, torch.device("cpu")).network
    splits = data.held_out[:1] or ["train"]
    indices = data.indices(*splits, recoloured=False)
    probe = to_unit(data.pictures(indices[:1]))
    most = effort.most(MEASURED, lambda count: enlarge(network, probe.repeat(count, 1, 1, 1)))
    large = to_unit(data.pictures(spread(indices, most)))
    clean, damaged = (made_small(large, damage, step_generator(1, 0)) for damage in (0.0, 1.0))
    made = {name: enlarge(network, small) for name, small in (("clean", clean), ("damaged", damaged))}
    loss = PerceptualLoss()
    figures = {
        f"{name}_{figure}": value
        for name, small in (("clean", clean), ("damaged", damaged))
        for figure, value in compared(made[name], bicubic(small), large, loss).items()
    }
    half = SHOWN // 2
    shown = sheet(
        torch.cat([clean[:half], damaged[half:SHOWN]]),
        torch.cat([made["clean"][:half], made["damaged"][half:SHOWN]]),
        large[:SHOWN],
    )
    return figures if effort.is_worth_it and data.held_out else {}, shown


@torch.no_grad()
def compared(made: Tensor, filtered: Tensor, large: Tensor, loss: PerceptualLoss) -> dict[str, float]:
    """PSNR and distance of features, each beside that of the filter."""

    def distance(pictures: Tensor) -> float:
        parts = zip(pictures.clamp(-1, 1).split(8), large.split(8), strict=True)
        return float(np.average([float(loss(*pair)) for pair in parts]))

    return {
        "psnr_db": round(psnr(made, large), 2),
        "psnr_bicubic_db": round(psnr(filtered, large), 2),
        "feature_distance": round(distance(made), 4),
        "feature_distance_bicubic": round(distance(filtered), 4),
    }
