"""Figures of any model that draws from chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.data.pictures import Collection, contact_sheet
from models.measure.likeness import MOST, likeness
from models.parts.latents import LatentSampler

SHOWN, COLUMNS, SHOWN_SIDE = 60, 12, 96


def evaluate_chance(
    sampler: LatentSampler, learnt: Any, usual: Any, data: Collection
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures of all that it has learnt, contact sheet of pictures with the usual parameters, which nobody chose)."""
    sheet = contact_sheet(sampler.pictures(usual, SHOWN), COLUMNS)
    scale = max(1, SHOWN_SIDE // data.images.shape[1])
    figures = likeness(sampler.pictures(learnt, MOST), data)
    return figures, np.kron(sheet, np.ones((scale, scale, 1), dtype=np.uint8))
