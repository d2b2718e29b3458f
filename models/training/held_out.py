"""Looks at held-out items while a run trains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from models.data.pictures import Collection, Indices, spread, to_unit
from models.measure.features import pooled_lite0
from models.measure.metrics import kernel_distance
from models.training.run import Run


def measure_splits(
    run: Run,
    data: Collection,
    done: int,
    most: int,
    loss: Callable[[Indices], float],
    sheet: Callable[[], Image.Image],
) -> None:
    """Log `loss` on at most so many items of each held-out split, each being held out for a reason of its own, and
    report their mean; keep a sheet.
    """
    found = {split: loss(spread(data.indices(split, recoloured=False), most)) for split in data.held_out}
    run.log.write(done, **{f"held_out_loss_{split}": figure for split, figure in found.items()})
    if found:
        run.report_metric(done, sum(found.values()) / len(found))
    if run.is_first:
        run.folder.keep_samples(done, sheet())


class HeldOutDistance:
    """How far drawings are from held-out pictures; of fewer than two there is no distance."""

    def __init__(self, run: Run, batch_size: int, data: Collection, held_out: Indices) -> None:
        self.run, self.batch_size = run, batch_size
        self.real = self.features(to_unit(data.pictures(held_out))) if len(held_out) > 1 else None

    @property
    def piece(self) -> int:
        """Pictures that fit into memory at once."""
        return max(1, self.batch_size // self.run.pieces)

    def features(self, pictures: Tensor) -> npt.NDArray[np.float32]:
        return pooled_lite0(pictures.to(self.run.device), self.piece)

    def report(self, done: int, drawn: Tensor) -> None:
        """Log that of drawings (N, 3, H, W) in [-1, 1]."""
        if self.real is not None:
            distance = kernel_distance(self.features(drawn), self.real)
            self.run.log.write(done, held_out_kernel_distance=distance)
            self.run.report_metric(done, distance)
