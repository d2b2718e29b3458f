"""Parameters that families share whose networks grow from a grid of 4 x 4 cells to a picture. Torch-free."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.contract.training_spec import MORE, OF_COLLECTION, EMADecay

SMALLEST_GRID = 4
SMALLEST_JUDGED = 64  # side that pictures are enlarged to before a pretrained network judges them
Size = Literal[16, 32, 64, 128, 256]


class LatentConfig(BaseModel):
    """Shape of a network between one latent vector and a picture. Subclasses have `width` and `max_width`."""

    model_config = ConfigDict(extra="forbid")

    size: Size = Field(32, description="Side of a picture", json_schema_extra={"unit": "px"})
    patch: Literal[1, 2, 4] = Field(
        2,
        description="Side in pixels of a cell of the finest grid; usually more in larger pictures",
        json_schema_extra={"by_size": True},
    )
    width: int = Field(description="Channels of the finest grid")
    max_width: int = Field(description="Channels of the coarsest grid, at most")
    growth: int = Field(2, ge=1, le=8, description="How many times more channels each coarser grid has")
    blocks: int = Field(2, ge=1, le=8, description="Residual blocks per grid")
    classes: int = Field(
        0,
        ge=0,
        le=1000,
        description="Labels that a picture may be drawn for",
        json_schema_extra=OF_COLLECTION,
    )

    @property
    def widths(self) -> list[int]:
        """Channels of each grid, from 4 x 4 up; each grid has twice the side of the one before."""
        grids = (self.size // self.patch // SMALLEST_GRID).bit_length()
        return [min(self.max_width, self.width * self.growth**i) for i in reversed(range(grids))]

    @property
    def cells(self) -> int:
        """Channels of all cells of all grids: what the activations of one block a grid hold."""
        return sum((SMALLEST_GRID << i) ** 2 * width for i, width in enumerate(self.widths))

    @property
    def work(self) -> int:
        """What a picture costs, in proportion: cells by the square of their channels."""
        return self.blocks * sum((SMALLEST_GRID << i) ** 2 * width**2 for i, width in enumerate(self.widths))

    @model_validator(mode="after")
    def enough_grids(self) -> LatentConfig:
        if self.size // self.patch < 2 * SMALLEST_GRID:
            raise ValueError("the picture is too small for patches of this size")
        return self


class LatentTraining(BaseModel):
    """What every training of such a network takes. Subclasses have their `network`."""

    model_config = ConfigDict(extra="forbid")

    size: Size = Field(32, title="Size", description="Side of the pictures, in pixels; the same as the network's")
    labels: bool = Field(
        True,
        title="Learn labels",
        description="If the collection has styles, draw each on request",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999

    @model_validator(mode="before")
    @classmethod
    def one_size(cls, given: Any) -> Any:
        """`size` is a shorter way to say `network.size`, and patches grow with it."""
        if not isinstance(given, dict) or not isinstance(network := given.get("network", {}), dict):
            return given
        if "size" not in given:
            return {**given, "size": network.get("size", 32)}
        patch = 1 if given["size"] == 16 else 2 if given["size"] == 32 else 4
        return {**given, "network": {"patch": patch, **network, "size": given["size"]}}


def truncation_field() -> Any:
    """The parameter of a task that keeps latents near to their mean."""
    return Field(
        2.0,
        ge=0.1,
        le=4,
        title="Variety",
        description="How far the latents may lie from the mean: less gives safer pictures",
        json_schema_extra={"most": 3},
    )


def label_field() -> Any:
    """The parameter of a task that chooses one of a checkpoint's styles."""
    return Field(
        None,
        max_length=180,
        title="Style",
        description="One of the styles that the model has learnt; empty draws one at random",
        json_schema_extra={"choices_from": "labels", "part": "subject"},
    )
