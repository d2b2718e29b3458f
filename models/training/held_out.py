"""Looks at held-out items while a run trains."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from models.data.pictures import Collection, Indices, spread
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
