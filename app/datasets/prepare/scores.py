"""Music of a dataset, with what is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.datasets.prepare.snapshot import Row, Snapshot, held_out, stored
from app.datasets.prepared import ScoreItem, write_scores
from app.media import abc, scores
from models.contract.preparation import ScorePreparation


def write(
    folder: Path,
    taken: Snapshot,
    size: int,
    wanted: ScorePreparation,
    check_cancelled: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write the notes of its pieces; returns the card. `check_cancelled` is called before each and may raise.

    Raises Conflict when a piece is gone.
    """
    card = {"name": folder.name, "title": taken.name, "dataset": taken.dataset, "dataset_version": taken.version}
    return write_scores(folder, items(taken.rows, check_cancelled), card)


def items(rows: list[Row], check_cancelled: Callable[[], None]) -> Iterator[ScoreItem]:
    apart = held_out(rows)
    for row in rows:
        check_cancelled()
        content = stored(row.digest)
        kind = abc.rhythm(content) if row.media_type == scores.ABC else ""
        split = "held_out" if row.concept in apart else "train"
        yield ScoreItem.of(row.digest, split, scores.decode(content, row.media_type), row.caption, kind)
