"""Figures of a GAN that draws after words: what is measured of all that do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.data.pictures import Collection
from models.measure.effort import Effort
from models.measure.prompted import measure
from models.prompted_gan.sample import load, requests


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet)."""
    return measure(load(folder, torch.device("cpu")), requests, data, effort)
