"""Figures of style transfer on pictures that it never saw, by features that no training used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.pictures import Collection, to_pixels, to_unit
from models.measure import open_nsfw
from models.measure.effort import FEWEST, Effort
from models.measure.metrics import IndependentFeatures
from models.style_transfer.sample import load
from models.style_transfer.train import of_sheet, sheet, shown, transferred

PAIRS = 200


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet): of held-out pictures in the styles of other held-out ones. Where nothing is held out,
    training pictures are shown.
    """
    network = load(folder, torch.device("cpu")).network
    pictures = to_unit(data.pictures(shown(data)))
    held_out = data.indices(*data.held_out, recoloured=False) if data.held_out else shown(data)[:0]
    if not effort.is_worth_it or len(held_out) < FEWEST:
        return {}, sheet(network, *of_sheet(pictures))
    probe = pictures[:1]
    most = effort.most(PAIRS, lambda count: transferred(network, *2 * [probe.repeat(count, 1, 1, 1)]))
    random = np.random.default_rng(1)
    chosen = random.integers(0, len(held_out), most)
    others = (chosen + random.integers(1, len(held_out), most)) % len(held_out)
    contents, styles = (to_unit(data.pictures(held_out[places])) for places in (chosen, others))
    made = transferred(network, contents, styles)
    features = IndependentFeatures()
    figures: dict[str, Any] = {"pairs": most}
    for name, pictured in (("transferred", made), ("copied_content", contents), ("copied_style", styles)):
        content, style = distances(features, pictured, contents, styles)
        figures[name] = {"content_distance": content, "style_distance": style}
    return figures, sheet(network, *of_sheet(pictures))


def distances(features: IndependentFeatures, made: Tensor, contents: Tensor, styles: Tensor) -> tuple[float, float]:
    """(content, style) of (N, 3, H, W) in [-1, 1]: cosine distances of what pictures are of, and how unlike the
    statistics of earlier maps are, as a share of what they are in all.
    """
    ours, content, style = (to_pixels(each) for each in (made, contents, styles))
    kept = 1 - (features(ours) * features(content)).sum(1)
    pairs = zip(open_nsfw.statistics(ours), open_nsfw.statistics(style), strict=True)
    apart = [np.square(a - b).sum(1) / np.square(b).sum(1) for a, b in pairs]
    return round(float(kept.mean()), 4), round(float(np.mean(apart)), 4)
