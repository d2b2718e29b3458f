"""What emoji are called, in English and Chinese, and which of them are one thing."""

from __future__ import annotations

import json
import re
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from app.packages.npm import NpmPackage

EMOJIBASE = NpmPackage(
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    "MIT",
    "emojibase, Copyright Miles Johnson",
)
LEFT_OUT_TOPICS = {2: "components", 9: "flags"}


@dataclass
class Concept:
    """One emoji: `group` names the variants that must stay together."""

    hexcode: str
    group: str
    topic: int
    label: str
    tags: list[str]
    label_zh: str
    tags_zh: list[str] = field(default_factory=list)


def read_concepts(folder: Path, without: Container[int] = LEFT_OUT_TOPICS) -> list[Concept]:
    """Every emoji of no skin tone with its English and Chinese label and tags, but for the topics `without`."""
    english = json.loads((folder / "en/data.json").read_text("utf-8"))
    chinese = {entry["hexcode"]: entry for entry in json.loads((folder / "zh/data.json").read_text("utf-8"))}
    concepts = []
    for entry in english:
        topic, code = entry.get("group"), entry["hexcode"]
        if topic is None or topic in without or code not in chinese:
            continue
        translated = chinese[code]
        concepts.append(
            Concept(
                code,
                group_of(code),
                topic,
                entry["label"],
                entry.get("tags", []),
                translated["label"],
                translated.get("tags", []),
            )
        )
    return concepts


_SAME = {
    "1F468": "1F9D1",
    "1F469": "1F9D1",
    "1F474": "1F9D3",
    "1F475": "1F9D3",
    "1F466": "1F9D2",
    "1F467": "1F9D2",
    "1F934": "1FAC5",
    "1F478": "1FAC5",
    "1F936": "1F385",
    "1F57A": "1F483",
    "1F46C": "1F46B",
    "1F46D": "1F46B",
}
_DROPPED = {"FE0F", "2640", "2642", "27A1", "1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}


def group_of(hexcode: str) -> str:
    """The code points that remain when gender, skin tone and direction are taken away."""
    points = [_SAME.get(point, point) for point in hexcode.split("-") if point not in _DROPPED]
    return "-".join(points).replace("-200D-200D", "-200D").removesuffix("-200D").removesuffix("-200D")


def normal(code: str) -> str:
    return "-".join(point for point in code.upper().split("-") if point != "FE0F")


def tidy(label: str) -> str:
    return re.sub(r"[:“”]", "", label).replace("’", "'")
