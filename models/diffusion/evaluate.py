"""Figures of the flow transformer: those of all that draw from prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.data.pictures import Collection
from models.diffusion.sample import load, requests
from models.measure.effort import Effort
from models.measure.prompted import measure


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet)."""
    return measure(load(folder, torch.device("cpu"), published), requests, data, effort)
