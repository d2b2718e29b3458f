"""How like a collection drawn pictures are as a whole, on features that no training used."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.data.pictures import Collection, spread
from models.measure.effort import FEWEST, held_out
from models.measure.metrics import FEATURES, IndependentFeatures, coverage, kernel_distance, nearest

MOST = 1000  # pictures of each kind


def likeness(
    drawn: Tensor, data: Collection, most: int = MOST, features: IndependentFeatures | None = None
) -> dict[str, Any]:
    """Figures of (N, 3, H, W) uint8 pictures beside `most` held-out ones, with the same of real, blurred and noise.

    Kernel distances are times 1,000. Where too few are held out, half of the training pictures take their place, and
    it says so; nearest pictures are then looked for in the other half. {} where those are too few as well.
    """
    training = spread(data.indices("train", recoloured=False), 2 * most)
    apart = spread(held_out(data), most)
    compared = apart if len(apart) else training[::2]
    others = training[1::2]  # real pictures that are not among those compared with
    count = min(len(drawn), len(compared))
    if count < FEWEST:
        return {}
    features = features or IndependentFeatures()
    real = data.pictures(compared)
    theirs, ours = features(real), features(drawn)
    found: dict[str, Any] = {
        "features": FEATURES,
        "pictures": count,
        "compared_with": "held-out pictures" if len(apart) else "half of the training pictures: too few are held out",
    }
    if len(others):
        beside = features(data.pictures(others))
        every = np.concatenate([beside, features(data.pictures(training[::2]))]) if len(apart) else beside
        found["nearest_training_picture_cosine_distance"] = {
            "among": len(every),
            **near("drawn", nearest(ours, every)),
            **near("real_held_out", nearest(theirs, every)),
        }
        if len(beside) >= FEWEST:
            found["kernel_distance_x1000"] = {
                "drawn": thousandths(ours, theirs),
                "real": thousandths(beside[spread(np.arange(len(beside)), len(theirs))], theirs),
                "blurred": thousandths(features(blurred(real)), theirs),
                "noise": thousandths(features(noise(real.shape)), theirs),
            }
    return {**found, **{name: rounded(value) for name, value in coverage(ours[:count], theirs[:count]).items()}}


def noise(shape: torch.Size) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (min(200, shape[0]), *shape[1:]), dtype=torch.uint8, generator=random)


def blurred(pictures: Tensor) -> Tensor:
    """At a quarter of the resolution and back."""
    small = F.avg_pool2d(pictures.float(), 4)
    return F.interpolate(small, pictures.shape[-2:], mode="bilinear").round().to(torch.uint8)


def thousandths(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    return rounded(1000 * kernel_distance(ours, theirs))


def near(name: str, values: npt.NDArray[np.float32]) -> dict[str, float]:
    """The median, and what one in twenty is nearer than: copies of some pictures show there first."""
    return {name: rounded(float(np.median(values))), f"{name}_nearest_5_%": rounded(float(np.quantile(values, 0.05)))}


def rounded(value: float) -> float:
    return float(f"{value:.4g}")
