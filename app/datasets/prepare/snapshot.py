"""A dataset as it is at one moment, whatever its medium."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from app.database import session_scope
from app.datasets import service
from app.datasets.labels import labelled
from app.datasets.tables import DatasetItem
from app.errors import Conflict, Invalid
from app.storage import get_storage

HELD_OUT_EVERY, FEWEST_HELD_OUT = 20, 2


@dataclass(frozen=True)
class Row:
    """One work of a dataset. `concept` is the same for drawings of one thing in several styles."""

    digest: str
    caption: str
    style: str
    concept: str
    media_type: str


@dataclass(frozen=True)
class Snapshot:
    """A dataset as it is at one moment: its works in the order of content."""

    dataset: str
    name: str
    medium: str
    version: str
    rows: list[Row]


def snapshot(dataset_id: str) -> Snapshot:
    """Raises NotFound; Invalid when the dataset is empty."""
    with session_scope(writing=False) as session:
        dataset = service.get(session, dataset_id)
        columns = select(
            DatasetItem.sha256,
            DatasetItem.caption,
            DatasetItem.name,
            DatasetItem.id,
            DatasetItem.similar_to,
            DatasetItem.media_type,
        )
        kept = [row for row in session.execute(service.accepted(columns, dataset_id)) if row.sha256]
        version = service.version(session, dataset_id)
    if not kept:
        raise Invalid("The dataset has no works yet")
    styles, concepts = labelled({row.sha256: row.name for row in kept})
    digests = {row.id: row.sha256 for row in kept}
    for row in kept:
        if row.similar_to and concepts[row.sha256] == row.sha256:  # copies of one picture are on one side of the split
            earliest = digests.get(row.similar_to, row.sha256)
            concepts[row.sha256] = concepts[earliest]
    rows = [Row(row.sha256, row.caption, styles[row.sha256], concepts[row.sha256], row.media_type) for row in kept]
    return Snapshot(dataset.id, dataset.name, dataset.kind, version, rows)


def stored(digest: str) -> bytes:
    try:
        return get_storage().get(digest)
    except FileNotFoundError as error:
        raise Conflict("A work was deleted meanwhile; prepare the dataset again") from error


def held_out(rows: list[Row]) -> set[str]:
    """Every 20th concept; at least two, which a distance between sets needs, of ten or more, and one of two or more."""
    concepts = list(dict.fromkeys(row.concept for row in rows))
    fewest = FEWEST_HELD_OUT if len(concepts) >= 10 else 1
    every = min(HELD_OUT_EVERY, len(concepts) // fewest)
    return set(concepts[every - 1 :: every]) if len(concepts) > 1 else set()
