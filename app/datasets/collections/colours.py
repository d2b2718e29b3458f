"""The colours of a drawing, by their names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from PIL import Image

HUES = {"red": 0, "orange": 28, "yellow": 50, "green": 120, "blue": 215, "purple": 272, "pink": 325}  # degrees


def main_colour(pixels: npt.NDArray[np.uint8]) -> str | None:
    """The named colour that covers most of what is not white, if it covers at least two fifths of it."""
    hue, saturation, value = (
        np.moveaxis(np.asarray(Image.fromarray(pixels).convert("HSV"), dtype=np.float32), -1, 0) / 255.0
    )
    drawn = ~((saturation < 0.06) & (value > 0.94))
    if drawn.sum() < 40:
        return None
    h, s, v = hue[drawn] * 360, saturation[drawn], value[drawn]
    names = np.full(h.shape, "", dtype="<U6")
    bounds = [
        ("red", 14),
        ("orange", 40),
        ("yellow", 66),
        ("green", 165),
        ("blue", 255),
        ("purple", 290),
        ("pink", 342),
        ("red", 361),
    ]
    low = 0.0
    for name, high in bounds:
        names[(h >= low) & (h < high)] = name
        low = high
    names[((names == "red") | (names == "purple")) & (v > 0.85) & (s < 0.55)] = "pink"
    names[((names == "red") | (names == "orange")) & (v < 0.65)] = "brown"
    names[s < 0.15] = "grey"
    names[v < 0.22] = "black"
    name, count = Counter(names.tolist()).most_common(1)[0]
    return name if name and count >= 0.4 * drawn.sum() else None


def recolour(pixels: npt.NDArray[np.uint8], old: str, new: str) -> npt.NDArray[np.uint8]:
    """Turn the hue circle so that the colour `old` becomes `new`."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV")).copy()
    turn = round((HUES[new] - HUES[old]) / 360 * 256)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 256
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
