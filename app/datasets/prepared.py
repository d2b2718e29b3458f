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
from models.contract.values import TEXTS

FORMAT = 1


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


@dataclass
class TextItem:
    """One text of a collection. `form` is what its makers call its shape, where that is known."""

    id: str
    split: str
    title: str
    author: str
    text: str
    form: str = ""


def write_texts(
    folder: Path, items: Iterable[TextItem], card: dict[str, Any], files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write `items.jsonl`, `card.json` and what else is given by name; the folder appears whole or not at all.

    Raises ValueError when there is no text.
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
        for name, content in (files or {}).items():
            (temporary / name).write_text(content, "utf-8")
        version = digest_of([temporary / name for name in ("items.jsonl", *sorted(files or {}))])
        card = {
            "format": FORMAT,
            "medium": TEXTS,
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
                facts = {key: value for key, value in asdict(item).items() if key != "tags" or value}
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
