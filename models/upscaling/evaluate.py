"""Figures of an upscaler on pictures that it never saw, beside those of a bicubic filter."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.load import load_autoencoder
from models.checkpoint import CheckpointError, read_card
from models.data.pictures import Collection, Indices, spread, to_unit
from models.measure.effort import Effort
from models.measure.features import PerceptualLoss
from models.measure.metrics import psnr
from models.training.schedule import step_generator
from models.upscaling.degrade import made_small, rebuilt
from models.upscaling.network import bicubic
from models.upscaling.sample import load
from models.upscaling.train import enlarge, sheet

MEASURED, SHOWN = 200, 8
CPU = torch.device("cpu")


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet): of pictures made small by filters alone, of damaged ones, and of those that the
    autoencoder has rebuilt that it was trained with. Where nothing is held out, training pictures are shown.
    """
    network = load(folder, CPU).network
    probe = to_unit(data.pictures(data.indices("train")[:1]))
    most = effort.most(MEASURED, lambda count: enlarge(network, probe.repeat(count, 1, 1, 1)))
    large = to_unit(data.pictures(of_every_split(data, most)))
    small = {
        "clean": made_small(large, 0, step_generator(1, 0)),
        "damaged": made_small(large, 1, step_generator(1, 0)),
    }
    if name := read_card(folder).get("training", {}).get("autoencoder"):
        with suppress(CheckpointError):  # it may be gone: nothing is enlarged with it
            small["rebuilt"] = rebuilt(small["clean"], load_autoencoder(name, CPU, beside=published)[0])
    made = {name: enlarge(network, pictures) for name, pictures in small.items()}
    loss = PerceptualLoss()
    figures = {
        f"{name}_{figure}": value
        for name, pictures in small.items()
        for figure, value in compared(made[name], bicubic(pictures), large, loss).items()
    }
    kinds = np.array_split(spread(np.arange(len(large)), SHOWN), len(small))
    shown = sheet(
        torch.cat([pictures[places] for pictures, places in zip(small.values(), kinds, strict=True)]),
        torch.cat([pictures[places] for pictures, places in zip(made.values(), kinds, strict=True)]),
        large[np.concatenate(kinds)],
    )
    return figures if effort.is_worth_it and data.held_out else {}, shown


def of_every_split(data: Collection, most: int) -> Indices:
    """At most so many held-out pictures, of every split as many where it has them."""
    splits = data.held_out or ["train"]
    share = -(-most // len(splits))
    return np.concatenate([spread(data.indices(split, recoloured=False), share) for split in splits])


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
