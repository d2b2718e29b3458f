"""What the builders of collections share: sources for the card, splits that last, drawings on white squares."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from app.packages.package import Package

DRAWN = 256  # pixels, before a drawing is made small
DPI = 96.0  # what CSS says of lengths in points and inches


def source(package: Package) -> dict[str, str]:
    """What a card says of a package that a collection is made of."""
    return {
        "package": package.spec,
        "sha256": package.sha256,
        "license": package.license,
        "attribution": package.attribution,
    }


def fraction(*parts: str) -> float:
    """A number in [0, 1) that depends on the text alone: splits survive new versions of the packages."""
    return int.from_bytes(hashlib.sha256("|".join(parts).encode()).digest()[:8]) / 2**64


def from_svg(svg: str, width: int = DRAWN) -> Image.Image:
    """RGBA. Raises the renderer's ValueError for what is no SVG."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True, dpi=DPI)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def centred(picture: Image.Image, size: int, margin: int) -> npt.NDArray[np.uint8] | None:
    """(size, size, 3): what an RGBA picture shows, as large as fits, in the middle of white; None for nothing."""
    if (box := picture.getchannel("A").getbbox()) is None:
        return None
    cut = picture.crop(box)
    scale = (size - 2 * margin) / max(cut.size)
    cut = cut.resize([max(1, round(side * scale)) for side in cut.size], Image.Resampling.LANCZOS)
    page = Image.new("RGBA", (size, size), "white")
    page.alpha_composite(cut, ((size - cut.width) // 2, (size - cut.height) // 2))
    return np.asarray(page.convert("RGB"), dtype=np.uint8)
