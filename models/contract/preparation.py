"""How works of a dataset become what a family learns from: one class a medium, which is also the form. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Fit = Literal["crop", "pad", "patches"]


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
    """Pictures become squares of the size that the family's parameters say."""

    fit: Fit = Field(
        "crop",
        title="How pictures are made square",
        description="crop: cut out the middle; pad: add white; patches: many windows of each picture",
        json_schema_extra={
            "titles": {"crop": "cut out the middle", "pad": "add white around", "patches": "cut into many patches"}
        },
    )
    mirror: bool = Field(False, title="May be mirrored", description="Training may mirror the pictures")

    @property
    def fewest(self) -> int:
        return 1 if self.fit == "patches" else 2
