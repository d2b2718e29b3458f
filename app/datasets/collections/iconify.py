"""Drawings of Iconify's icon sets, and of picture files, rendered small and centred on white."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from app.datasets.collections.emojibase import normal

SIZE = 64  # pixels; drawings are rendered smaller and padded, so that a shift by two pixels loses nothing
MARGIN = 2

Draw = Callable[[int], Image.Image]  # at about so many pixels of width


def iconify_drawings(folder: Path, names_folder: Path) -> dict[str, Draw]:
    """Hexcode -> drawing, of one Iconify set; `names_folder` is the set whose table of code points is used."""
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    names = json.loads((names_folder / "chars.json").read_text("utf-8"))
    drawings: dict[str, Draw] = {}
    for code, name in names.items():
        alias = icons.get("aliases", {}).get(name, {})
        icon = icons["icons"].get(alias.get("parent", name))
        if icon is None:
            continue
        drawings[normal(code)] = partial(draw_svg, icon["body"], box_of(icon, icons), bool(alias.get("hFlip")))
    return drawings


def named_drawings(folder: Path) -> dict[str, Draw]:
    """Name -> drawing, of one Iconify set."""
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    return {name: partial(draw_svg, icon["body"], box_of(icon, icons), False) for name, icon in icons["icons"].items()}


def box_of(icon: dict[str, Any], icons: dict[str, Any]) -> list[int]:
    """Left, top, width and height: the icon's own, else those of its set."""
    return [icon.get(k, icons.get(k, d)) for k, d in (("left", 0), ("top", 0), ("width", 16), ("height", 16))]


def draw_svg(body: str, box: list[int], flip: bool, width: int) -> Image.Image:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{" ".join(map(str, box))}">{body}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True)
    picture = Image.open(io.BytesIO(bytes(png)))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else picture


def draw_file(path: Path, width: int) -> Image.Image:
    return Image.open(path)


def on_white(draw: Draw, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """(size, size, 3) with the drawing centred on white."""
    inner = size - 2 * MARGIN * size // SIZE
    picture = draw(inner).convert("RGBA")
    if max(picture.size) != inner:
        scale = inner / max(picture.size)
        picture = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS
        )
    page = Image.new("RGBA", (size, size), "white")
    page.alpha_composite(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return np.asarray(page.convert("RGB"), dtype=np.uint8)
