"""The prepared form of a collection: a memory-mapped uint8 array of pictures, one JSON line an item, and a card."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.contract.files import whole_folder
from models.contract.values import MUSIC, TEXTS, Score

FORMAT = 1
OPTIONAL = {"tags", "width", "height"}


@dataclass
class Item:
    """One picture of a collection. `split` is `train`, or names what it is held out for."""

    id: str
    concept: str
    group: str
    style: str
    split: str
    label: str
    label_zh: str
    captions: list[str]
    mirrorable: bool = False
    recoloured: bool = False  # a variation made by us, left out of what is measured
    tags: list[str] = field(default_factory=list)  # what can be seen in it, one by one
    width: int = 0  # where it is no square: of the pixels at the beginning of its row
    height: int = 0


@dataclass
class TextItem:
    """One text of a collection. `form` is what its makers call its shape, where that is known."""

    id: str
    split: str
    title: str
    author: str
    text: str
    form: str = ""


@dataclass
class ScoreItem:
    """One piece of a collection; see `models.contract.values.Score`. `notes` are (start, duration, pitch, part) each,
    in beats; `form` is what kind of piece it is, where that is known.
    """

    id: str
    split: str
    title: str
    notes: list[tuple[float, float, int, int]]
    metre: tuple[int, int]
    pickup: float
    tempo: float
    form: str = ""
    author: str = ""
    phrase_ends: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, id: str, split: str, score: Score, title: str = "", form: str = "", author: str = "") -> ScoreItem:
        notes = [(round(n.start, 4), round(n.duration, 4), n.pitch, n.part) for n in score.notes]
        ends = [round(end, 4) for end in score.phrase_ends]
        tempo, pickup = round(score.tempo, 1), round(score.pickup, 4)
        return cls(id, split, title, notes, score.metre, pickup, tempo, form, author, ends)


def write_texts(
    folder: Path, items: Iterable[TextItem], card: dict[str, Any], files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """See `write_lines`."""
    return write_lines(folder, items, {"medium": TEXTS, **card}, files or {})


def write_scores(folder: Path, items: Iterable[ScoreItem], card: dict[str, Any]) -> dict[str, Any]:
    """See `write_lines`."""
    return write_lines(folder, items, {"medium": MUSIC, **card}, {})


def write_lines(
    folder: Path, items: Iterable[TextItem | ScoreItem], card: dict[str, Any], files: Mapping[str, str]
) -> dict[str, Any]:
    """Write `items.jsonl`, `card.json` and what else is given by name; the folder appears whole or not at all.

    Raises ValueError when there is no item.
    """
    with whole_folder(folder) as temporary:
        splits = Counter[str]()
        with (temporary / "items.jsonl").open("w", encoding="utf-8") as lines:
            for item in items:
                splits[item.split] += 1
                lines.write(
                    json.dumps({key: value for key, value in asdict(item).items() if value}, ensure_ascii=False)
                )
                lines.write("\n")
        if not splits:
            raise ValueError("the collection is empty")
        for name, content in files.items():
            (temporary / name).write_text(content, "utf-8")
        version = digest_of([temporary / name for name in ("items.jsonl", *sorted(files))])
        card = {
            "format": FORMAT,
            **card,
            "count": splits.total(),
            "splits": dict(splits),
            "version": version,
        }
        (temporary / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1), "utf-8")
    return card


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 of their contents, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def write_prepared(
    folder: Path, items: Iterable[tuple[Item, npt.NDArray[np.uint8]]], card: dict[str, Any]
) -> dict[str, Any]:
    """Write `images.npy` (N, H, W, 3), `items.jsonl` and `card.json`; the folder appears whole or not at all.

    Pictures go to the disk one by one: memory does not grow with their number. Raises ValueError when there is none.
    """
    with whole_folder(folder) as temporary:
        splits, shape = Counter[str](), (0, 0, 0)
        with (
            (temporary / "images.npy").open("wb") as images,
            (temporary / "items.jsonl").open("w", encoding="utf-8") as lines,
        ):
            for item, pixels in items:
                if not splits:
                    shape = pixels.shape
                    write_header(images, (0, *shape))
                images.write(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes())
                splits[item.split] += 1
                facts = {key: value for key, value in asdict(item).items() if value or key not in OPTIONAL}
                lines.write(json.dumps(facts, ensure_ascii=False) + "\n")
            if not splits:
                raise ValueError("the collection is empty")
            images.seek(0)
            write_header(images, (splits.total(), *shape))
        version = digest_of(temporary / name for name in ("images.npy", "items.jsonl"))
        card = {
            "format": FORMAT,
            **card,
            "count": splits.total(),
            "size": shape[0],
            "splits": dict(splits),
            "version": version,
        }
        (temporary / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1), "utf-8")
    return card


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """A .npy header; numpy leaves room in it, so that it is as long whatever the number of rows."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
