"""Pictures that a checkpoint brings along, to be given to it to begin with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from models.data.pictures import Collection, spread

MOST, LARGEST = 24, 256  # pictures, and pixels of a side
QUALITY = 88  # of the JPEG


def one_of_each_style(data: Collection, role: str) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """(what a card says of them, files): the first picture of each style of the collection; of a collection of one
    style some that lie evenly in it. Styles that the collection's card says are `not_redistributed` are left out.
    """
    left_out = set(data.card.get("not_redistributed", []))
    every = data.indices("train", *data.held_out, recoloured=False)
    indices = np.asarray([i for i in every if data.items[i].get("style") not in left_out], int)
    first: dict[str, int] = {}
    for i in indices.tolist():
        first.setdefault(str(data.items[i].get("style", "")), i)
    chosen = list(first.values()) if len(first) > 1 else spread(indices, MOST).tolist()
    said, files = [], {}
    for number, i in enumerate(chosen[:MOST], 1):
        picture = Image.fromarray(data.picture(i))
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=QUALITY)
        name = f"{role}-{number}.jpg"
        files[name] = content.getvalue()
        said.append({"role": role, "file": name, "title": str(data.items[i].get("label", ""))})
    return said, files
