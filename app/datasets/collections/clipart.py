"""Clip art in the public domain, of things that can be seen: animals, food, people, buildings and more, at 64 px."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from defusedxml import ElementTree

from app.datasets.collections.parts import centred, fraction, from_svg, source
from app.datasets.prepared import Item, write_prepared
from app.packages.debian import DebianPackage, fetch_debian

PACKAGE = DebianPackage(
    "openclipart-svg",
    "1:0.18+dfsg-19",
    "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    "public domain",
    "Open Clip Art Library, by its contributors",
)
TOPICS = {
    "animals": "动物",
    "buildings": "建筑",
    "containers": "容器",
    "education": "教育",
    "electronics": "电器",
    "food": "食物",
    "office": "办公",
    "people": "人物",
    "plants": "植物",
    "recreation": "娱乐",
    "science": "科学",
    "tools": "工具",
    "transportation": "交通",
}
LEFT_OUT = {"cards", "chess", "dice"}  # folders of near copies
SIZE, MARGIN, PALEST = 64, 4, 5.0
HELD_OUT, SALT = 0.05, "clip-art"
LARGEST_BYTES = 2_000_000
DULL = re.compile(
    r"\b(clip ?art|by|untitled|unknown|openclipart|icon|svg|nicu|buculei|architetto)\b|[_\d]+|\.\w+$", re.I
)
NAMES = {"dc": "http://purl.org/dc/elements/1.1/", "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#"}


def words(path: Path, content: bytes) -> tuple[str, list[str]]:
    """(title, keywords) as the drawing's own metadata has them, else by its file's name."""
    title, keywords = "", list[str]()
    try:
        root = ElementTree.fromstring(content)
    except Exception:  # drawings of twenty years, by hundreds of programs; their metadata is a bonus
        root = None
    if root is not None:
        title = next((e.text or "" for e in root.iter(f"{{{NAMES['dc']}}}title") if (e.text or "").strip()), "")
        bags = root.iter(f"{{{NAMES['dc']}}}subject")
        keywords = [tidy(e.text or "") for bag in bags for e in bag.iter(f"{{{NAMES['rdf']}}}li")]
    named = tidy(title) or tidy(path.stem)
    return named, sorted({word for word in keywords if word and word != named})


def tidy(text: str) -> str:
    return " ".join(DULL.sub(" ", text.replace("-", " ")).lower().split()).strip(" ,.")[:80]


def draw(content: bytes) -> npt.NDArray[np.uint8] | None:
    """(64, 64, 3) on white with a margin, or None for what draws nothing."""
    try:
        picture = from_svg(content.decode("utf-8", "replace"))
    except Exception:  # the renderer's own kinds, for what is no SVG to it
        return None
    pixels = centred(picture, SIZE, MARGIN)
    return pixels if pixels is not None and pixels.std() > PALEST else None


def items(folder: Path, check_cancelled: Callable[[], None]) -> Iterator[tuple[Item, npt.NDArray[np.uint8]]]:
    """Drawings that differ, in the order of their paths."""
    seen: set[bytes] = set()
    for topic in TOPICS:
        for path in sorted((folder / topic).rglob("*.svg")):
            check_cancelled()
            content = path.read_bytes()
            inner = path.relative_to(folder)
            if LEFT_OUT & {*inner.parts} or len(content) > LARGEST_BYTES:
                continue
            pixels = draw(content)
            if pixels is None or pixels.tobytes() in seen:
                continue
            seen.add(pixels.tobytes())
            title, keywords = words(path, content)
            key = str(inner)
            split = "held_out" if fraction(SALT, key) < HELD_OUT else "train"
            captions = [text for text in (title, ", ".join([title, *keywords[:4]]), f"{TOPICS[topic]}剪贴画") if text]
            yield Item(key, key, key, "", split, title, TOPICS[topic], captions, True, tags=[topic, *keywords]), pixels


def build(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """Build the prepared collection in `folder`; returns its card. Raises FetchError."""
    files = fetch_debian(PACKAGE, cache, check_cancelled) / "usr/share/openclipart/svg"
    return write_prepared(
        folder, items(files, check_cancelled), {"name": name, "title": "Clip art", "sources": [source(PACKAGE)]}
    )
