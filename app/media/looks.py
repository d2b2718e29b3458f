"""What a picture looks like, in a few bytes: to find copies that were resized or compressed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from PIL import Image

from app.media.cutout import NEAR, background_of, colours
from app.media.pixels import flattened

STEP = 6  # differences below this are noise of compression
SIDE, PART, WIDTH = 24, 0.08, 52  # of a palette: pixels looked at, share of what is drawn, values of a channel as one


def fingerprint(picture: Image.Image) -> tuple[str, str]:
    """(fingerprint, mean colour as RRGGBB).

    The fingerprint is a difference hash of 8 x 8 cells (whether a cell is clearly darker than its right neighbour),
    followed by the mean colour in steps of 32: most copies of a picture share it, recoloured ones do not.
    """
    flat = flattened(picture)
    cells = flat.convert("L").resize((9, 8), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            left, right = cells[row * 9 + column], cells[row * 9 + column + 1]
            bits = bits << 1 | (right - left > STEP)
    mean = flat.resize((1, 1), Image.Resampling.BOX).tobytes()
    coarse = "".join(f"{(value + 16) // 32:x}" for value in mean)
    return f"{bits:016x}{coarse}", mean.hex()


def palette(pictures: Iterable[Image.Image], most: int) -> list[tuple[str, int]]:
    """Colours of what is drawn as (RRGGBB, in how many pictures), the commonest first. A plain background is none."""
    seen, members = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    sums: dict[tuple[int, ...], list[int]] = {}
    for picture in pictures:
        small = flattened(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
        ground = background_of(small)
        drawn = [
            c for c in colours(small) if not ground or max(abs(a - b) for a, b in zip(c, ground, strict=True)) > NEAR
        ]
        kinds = Counter(tuple(value // WIDTH for value in colour) for colour in drawn)
        seen.update(kind for kind, number in kinds.items() if number >= PART * len(drawn))
        members.update(kinds)
        for colour in drawn:
            kept = sums.setdefault(tuple(value // WIDTH for value in colour), [0, 0, 0])
            for channel, value in enumerate(colour):
                kept[channel] += value
    return [
        ("".join(f"{round(value / members[kind]):02x}" for value in sums[kind]), number)
        for kind, number in seen.most_common(most)
    ]
