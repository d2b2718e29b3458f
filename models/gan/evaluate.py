"""Figures of a GAN: how near its pictures are to real ones, how many kinds of them it draws, whether it copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.data.pictures import Collection
from models.gan.sample import load
from models.gan.spec import UnconditionalImage
from models.measure.chance import evaluate_chance
from models.measure.effort import Effort

EVERYTHING = UnconditionalImage(truncation=4.0)


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet)."""
    return evaluate_chance(load(folder, torch.device("cpu")), EVERYTHING, UnconditionalImage(), data, effort)
