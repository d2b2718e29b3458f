"""What a picture looks like, in a few bytes: to find copies that were resized or compressed again."""

from __future__ import annotations

from PIL import Image

from app.media.pixels import flattened

STEP = 6  # differences below this are noise of compression


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
