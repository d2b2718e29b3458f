"""How works of a dataset become what a family learns from: one class a medium, which is also the form. Torch-free."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Fit = Literal["keep", "crop", "pad", "patches"]
Square = Literal["crop", "pad", "patches"]
COARSE, FINE = 64, 16  # pixels that sides are multiples of; fine for small ones
TITLES: dict[str, Any] = {
    "keep": "keep their proportions",
    "crop": "cut out the middle",
    "pad": "add white around",
    "patches": "cut into many patches",
}


class Preparation(BaseModel):
    """What every medium has. `fewest` works are needed at least: one to learn from, one to hold out."""

    model_config = ConfigDict(extra="forbid")

    @property
    def fewest(self) -> int:
        return 2


class TextPreparation(Preparation):
    """Texts stay what they are. With `rhymes` the table of 平水韻 is kept beside them, by which verse is judged."""

    rhymes: bool = False


class ScorePreparation(Preparation):
    """Pieces become notes in time."""


class PicturePreparation(Preparation):
    """Pictures get about as many pixels as the square whose side the family's parameters say."""

    fit: Fit = Field(
        "keep",
        title="How pictures are fitted",
        description="keep: one of a few sizes near their proportions; crop, pad and patches: squares",
        json_schema_extra={"titles": TITLES},
    )
    mirror: bool = Field(False, title="May be mirrored", description="Training may mirror the pictures")

    @property
    def fewest(self) -> int:
        return 1 if self.fit == "patches" else 2


class SquarePreparation(PicturePreparation):
    """Pictures become squares of that side."""

    fit: Square = Field(
        "crop",
        title="How pictures are made square",
        description="crop: cut out the middle; pad: add white; patches: many windows of each picture",
        json_schema_extra={"titles": {name: TITLES[name] for name in get_args(Square)}},
    )


def size_near(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) of at most as many pixels as a square of that `side`, nearest to the proportions of a picture of
    `width` x `height`; sides are from a half to twice `side`.
    """
    step = COARSE if side % COARSE == 0 and side >= 4 * COARSE else FINE
    widths = range(max(step, side // 2 // step * step), 2 * side + 1, step)
    sizes = [(each, side * side // each // step * step) for each in widths]
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1] * height / width)))
