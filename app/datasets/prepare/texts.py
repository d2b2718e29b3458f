"""Texts of a dataset, with what is held out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.datasets import rhymes
from app.datasets.prepare.snapshot import Row, Snapshot, held_out, stored
from app.datasets.prepared import TextItem, write_texts
from app.media import texts
from app.settings import get_settings
from models.contract.preparation import TextPreparation


def write(
    folder: Path,
    taken: Snapshot,
    size: int,
    wanted: TextPreparation,
    check_cancelled: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write the texts as they are; returns the card. `check_cancelled` is called before each and may raise.

    Raises Conflict when a text is gone, FetchError where a rhyme table is wanted and cannot be had.
    """
    card = {"name": folder.name, "title": taken.name, "dataset": taken.dataset, "dataset_version": taken.version}
    files = {}
    if wanted.rhymes:
        table = rhymes.rhyme_table(get_settings().data / "packages", check_cancelled)
        files["rhymes.json"] = json.dumps(table, ensure_ascii=False)
    return write_texts(folder, items(taken.rows, check_cancelled), card, files)


def items(rows: list[Row], check_cancelled: Callable[[], None]) -> Iterator[TextItem]:
    """A caption is `title · author`, as tables of texts are read."""
    apart = held_out(rows)
    for row in rows:
        check_cancelled()
        title, _, author = row.caption.partition(" · ")
        split = "held_out" if row.concept in apart else "train"
        yield TextItem(row.digest, split, title, author, texts.bare(stored(row.digest)))
