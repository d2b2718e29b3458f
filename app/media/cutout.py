"""A picture without its plain background: clear where that is connected with the border, soft at the edges.

An edge is a blend of what is drawn with the background. It becomes what is drawn, as opaque as it was blended, so that
the cutout on the old background is the old picture again, and on another has no fringe.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageMath

NEAR = 14  # how far a channel of the background may be from its usual value; models draw white with some noise
SHARE = 0.6  # of the border that is background at least
EDGE = 5  # pixels, odd: a square of these around an edge has both sides of it
RUNS = re.compile(rb"\xff+")
WHOLE = 255

Colour = tuple[int, ...]


def background_of(picture: Image.Image) -> Colour | None:
    """The colour of the border of an RGB picture, if it is plain."""
    width, height = picture.size
    sides = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
    pixels = [pixel for side in sides for pixel in colours(picture.crop(side))]
    usual = tuple(sorted(channel)[len(pixels) // 2] for channel in zip(*pixels, strict=True))
    near = sum(max(abs(a - b) for a, b in zip(pixel, usual, strict=True)) <= NEAR for pixel in pixels)
    return usual if near >= SHARE * len(pixels) else None


def colours(picture: Image.Image) -> Iterator[Colour]:
    return zip(*(band.tobytes() for band in picture.split()), strict=True)


def is_plain(content: bytes) -> bool:
    """Whether the picture in this file has a background to cut away."""
    return background_of(Image.open(io.BytesIO(content)).convert("RGB")) is not None


def cut_out(content: bytes) -> Image.Image | None:
    """RGBA of the picture in this file; None if its background is not plain."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    colour = background_of(picture)
    if colour is None:
        return None
    differing = ImageChops.difference(picture, Image.new("RGB", picture.size, colour)).split()
    far = ImageChops.lighter(ImageChops.lighter(*differing[:2]), differing[2])
    alpha = opacity(far, outside(far.point([WHOLE if value <= NEAR else 0 for value in range(256)])))
    drawn = [unblended(band, alpha, value) for band, value in zip(picture.split(), colour, strict=True)]
    return Image.merge("RGBA", [*drawn, alpha])


def outside(plain: Image.Image) -> Image.Image:
    """The part of a mask (0 or 255) that is connected with the border: runs of pixels, united row by row."""
    width, height = plain.size
    rows, border = plain.tobytes(), 0
    parents = [border]

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    runs: list[list[tuple[int, int, int]]] = [[]]  # of each row (first, after the last, number)
    for y in range(height):
        row, above = [], iter([*runs[-1], (width, width + 1, border)])
        first, after, number = next(above)
        for match in RUNS.finditer(rows[y * width : (y + 1) * width]):
            (start, end), run = match.span(), len(parents)
            parents.append(border if y in (0, height - 1) or start == 0 or end == width else run)
            while after <= start:
                first, after, number = next(above)
            while first < end:
                parents[root(run)] = parents[root(number)]
                if after > end:
                    break  # it may touch the next run too
                first, after, number = next(above)
            row.append((start, end, run))
        runs.append(row)
    found = bytearray(width * height)
    for y, row in enumerate(runs[1:]):
        for start, end, run in row:
            if root(run) == root(border):
                found[y * width + start : y * width + end] = b"\xff" * (end - start)
    return Image.frombytes("L", plain.size, bytes(found))


def opacity(far: Image.Image, outside: Image.Image) -> Image.Image:
    """Beside the outside a pixel is as opaque as it is far from the background, next to what is farthest around it."""
    full = far.filter(ImageFilter.MaxFilter(EDGE))
    share = ImageMath.lambda_eval(
        lambda of: of["convert"](of["far"] * WHOLE / of["max"](of["full"], 1), "L"), far=far, full=full
    )
    beside = outside.filter(ImageFilter.MaxFilter(EDGE))
    alpha = Image.composite(share, Image.new("L", far.size, WHOLE), beside)
    alpha.paste(0, mask=outside)
    return alpha


def unblended(band: Image.Image, alpha: Image.Image, background: int) -> Image.Image:
    def drawn(of: Any) -> Any:
        blended, opaque = of["band"] * WHOLE, of["alpha"]
        value = (blended - (WHOLE - opaque) * background) / of["max"](opaque, 1)
        return of["convert"](of["min"](of["max"](value, 0), WHOLE), "L")

    made: Image.Image = ImageMath.lambda_eval(drawn, band=band, alpha=alpha)
    return made
