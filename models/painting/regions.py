"""Pictures of any size that a model of one size draws parts of anew: square by square, the rest kept bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from models.contract.values import Pixels

Mask = npt.NDArray[np.float32]  # (H, W) in [0, 1]: how much of each pixel is drawn anew
AROUND = 1.5  # a square's side over what is drawn in it: a model sees what it is to fit
MOST = 6  # squares along the longer side of what is drawn; a longer one is drawn coarser


@dataclass(frozen=True)
class Square:
    """Pixels of a picture, of which some may lie beyond its edges; there it goes on as it ends."""

    top: int
    left: int
    side: int

    def indices(self, height: int, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        rows, columns = np.arange(self.top, self.top + self.side), np.arange(self.left, self.left + self.side)
        return rows.clip(0, height - 1), columns.clip(0, width - 1)

    def cut(self, picture: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """(H, W, ...) -> (side, side, ...)."""
        rows, columns = self.indices(*picture.shape[:2])
        return picture[np.ix_(rows, columns)]

    def inside(self, height: int, width: int) -> tuple[slice, slice, slice, slice]:
        """(rows, columns) of the picture that it covers, then the same of itself."""
        top, bottom = max(0, self.top), min(height, self.top + self.side)
        left, right = max(0, self.left), min(width, self.left + self.side)
        own = slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left)
        return slice(top, bottom), slice(left, right), *own


def squares(mask: Mask, least: int) -> list[Square]:
    """Squares of one size, `least` or larger, that cover what is marked of (H, W), with what stands around it.

    None where nothing is marked. Later ones see what earlier ones drew.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    height, width = mask.shape
    bounds = [(int(found[0]), int(found[-1]) + 1) for found in (rows, columns)]
    longer = max(end - start for start, end in bounds)
    side = max(least, min(math.ceil(AROUND * longer), height, width), math.ceil(2 * longer / (MOST + 1)))
    places = product(*(along(*bound, side, whole) for bound, whole in zip(bounds, (height, width), strict=True)))
    found = [Square(top, left, side) for top, left in places]
    found = [square for square in found if square_mask(square, mask).any()]
    return sorted(found, key=lambda square: float(square_mask(square, mask).mean()))  # what knows most begins


def along(start: int, end: int, side: int, whole: int) -> list[int]:
    """Where squares begin along an axis of `whole` pixels, to cover those from `start` to `end`."""
    if end - start <= side:
        begin = (start + end - side) // 2
        return [min(max(begin, 0), whole - side) if side <= whole else (whole - side) // 2]
    count = math.ceil((end - start - side) / (side / 2)) + 1
    return [round(start + i * (end - start - side) / (count - 1)) for i in range(count)]


def square_mask(square: Square, mask: Mask) -> Mask:
    """(side, side); nothing is marked beyond the edges."""
    rows, columns, own_rows, own_columns = square.inside(*mask.shape)
    found = np.zeros((square.side, square.side), np.float32)
    found[own_rows, own_columns] = mask[rows, columns]
    return found


def paste(canvas: Pixels, mask: Mask, square: Square, drawn: Pixels) -> None:
    """Put a square's drawing (side, side, 3) where the mask marks it, in part where it marks in part, in place."""
    rows, columns, own_rows, own_columns = square.inside(*mask.shape)
    share = mask[rows, columns, None]
    mixed = np.rint((1 - share) * canvas[rows, columns] + share * drawn[own_rows, own_columns])
    canvas[rows, columns] = np.where(share > 0, mixed, canvas[rows, columns]).astype(np.uint8)


def resized(picture: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.float32]:
    """(S, S, C) of another side."""
    if len(picture) == side:
        return picture.astype(np.float32)
    x = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]
    made = F.interpolate(x, (side, side), mode="bicubic" if side > len(picture) else "bilinear", antialias=True)
    return np.asarray(made[0].permute(1, 2, 0).numpy(), np.float32)
