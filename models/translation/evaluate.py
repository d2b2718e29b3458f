"""Figures of translation on pictures that it never saw, by features that no training used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.pictures import Collection, spread, to_pixels, to_unit
from models.measure import open_nsfw
from models.measure.effort import FEWEST, Effort
from models.measure.metrics import IndependentFeatures
from models.translation.sample import load
from models.translation.train import of_style, sheet, shown, translated

MEASURED = 200


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet): of held-out pictures of each style, translated into the other."""
    sampler = load(folder, torch.device("cpu"))
    network, styles = sampler.network, sampler.styles
    apart = [shown(data, name) for name in styles]
    made_sheet = sheet(network, apart)
    held_out = [of_style(data, name, *data.held_out) for name in styles]
    if not effort.is_worth_it or min(map(len, held_out)) < FEWEST:
        return {}, made_sheet
    most = effort.most(MEASURED, lambda count: translated(network, apart[0][:1].repeat(count, 1, 1, 1), 1))
    pictures = [to_unit(data.pictures(spread(indices, most))) for indices in held_out]
    classifier = Classifier(
        [to_unit(data.pictures(spread(of_style(data, name, "train"), 2 * MEASURED))) for name in styles]
    )
    figures: dict[str, Any] = {"pictures": [len(each) for each in pictures]}
    for style, name in enumerate(styles):
        given = pictures[1 - style]
        made = translated(network, given, style)
        figures[f"taken_for_{name}"] = classifier.share(made, style)
        figures[f"taken_for_{name}_before"] = classifier.share(given, style)
        figures[f"taken_for_{name}_real"] = classifier.share(pictures[style], style)
        figures[f"content_kept_in_{name}"] = classifier.kept(made, given)
    return figures, made_sheet


class Classifier:
    """Tells two styles by the statistics of pictures' features; and what pictures are of."""

    def __init__(self, examples: list[Tensor]) -> None:
        self.features = IndependentFeatures()
        found = [self.statistics(each) for each in examples]
        every = np.concatenate(found)
        self.mean, self.spread = every.mean(0), every.std(0) + 1e-6
        self.centres = [((each - self.mean) / self.spread).mean(0) for each in found]

    def statistics(self, pictures: Tensor) -> npt.NDArray[np.float32]:
        return np.concatenate(open_nsfw.statistics(to_pixels(pictures)), 1)

    def share(self, pictures: Tensor, style: int) -> float:
        """Of those that are nearer to the centre of a style than to that of the other."""
        found = (self.statistics(pictures) - self.mean) / self.spread
        far = np.stack([np.square(found - centre).sum(1) for centre in self.centres])
        return round(float((far.argmin(0) == style).mean()), 3)

    def kept(self, made: Tensor, given: Tensor) -> float:
        """Share of translations whose own picture is the most like it of all that were translated."""
        ours, theirs = (self.features(to_pixels(each)) for each in (made, given))
        return round(float(((ours @ theirs.T).argmax(1) == np.arange(len(ours))).mean()), 3)
