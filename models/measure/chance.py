"""Figures of any model that draws from chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.data.pictures import Collection, contact_sheet
from models.measure.effort import Effort
from models.measure.likeness import MOST, likeness
from models.measure.metrics import IndependentFeatures
from models.parts.latents import LatentSampler

SHOWN, COLUMNS, SHOWN_SIDE = 60, 12, 96
LOOKED_AT = 5  # pictures for one that is drawn: itself, a held-out one, that one blurred, two of the training


def evaluate_chance(
    sampler: LatentSampler, learnt: Any, usual: Any, data: Collection, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures of all that it has learnt, contact sheet of pictures with the usual parameters, which nobody chose)."""
    sheet = contact_sheet(sampler.pictures(usual, SHOWN), COLUMNS)
    scale = max(1, SHOWN_SIDE // data.images.shape[1])
    sheet = np.kron(sheet, np.ones((scale, scale, 1), dtype=np.uint8))
    if not effort.is_worth_it:
        return {}, sheet
    features = IndependentFeatures()
    most = effort.most(
        MOST,
        lambda count: sampler.pictures(learnt, count),
        lambda count: features(data.pictures(np.zeros(LOOKED_AT * count, dtype=np.int64))),
    )
    return likeness(sampler.pictures(learnt, most), data, most, features), sheet
