"""Shape and task of banks of styles, which are imported and not trained here; torch-free."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.contract.family import Family
from models.contract.message import Message
from models.contract.redrawing import FRAME, reduced, too_narrow
from models.contract.tasks import IMAGE, DeterministicParams, Input, Sizes, Task

STYLE_BANK = "style-bank"
SMALLEST, LARGEST = 16, 2048  # pixels of a side
UNIT = 256 * 256  # pixels that take about as long as a picture of a small model


class StyleBankConfig(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid")

    styles: int = Field(26, ge=1, le=1024, description="How many there are")
    width: int = Field(32, ge=4, le=256, description="Channels of the encoder and its blocks")
    blocks: int = Field(6, ge=1, le=16, description="Residual blocks, at a quarter of the size")
    decoder: tuple[int, int] = Field((8, 4), description="Channels at half and at the whole size")


class StyleBankParams(DeterministicParams):
    """A picture in one of the styles of the bank, or between two."""

    style: str | None = Field(
        None,
        title="Style",
        description="Its number, as the model's sheet has them; empty takes the first",
        json_schema_extra={"choices_from": "bank", "part": "subject"},
    )
    second_style: str | None = Field(
        None, title="Second style", description="To go towards", json_schema_extra={"choices_from": "bank"}
    )
    mix: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Mix",
        allow_inf_nan=False,
        description="How much of the second style",
        json_schema_extra={"needs": "second_style"},
    )
    strength: float = Field(
        1.0,
        ge=0,
        le=1,
        title="Strength",
        allow_inf_nan=False,
        description="How much of what is drawn; 0 is the picture",
    )
    keep_colours: bool = Field(
        False, strict=True, title="Keep the colours", description="Light and shade change, colours stay"
    )


def cost(params: StyleBankParams, sizes: Sizes) -> int:
    """By pixels."""
    (image,) = sizes[IMAGE]
    width, height = reduced(int(image["width"]), int(image["height"]), LARGEST)
    return max(1, math.ceil(width * height / UNIT))


def problem(params: Any, sizes: Sizes) -> tuple[str, Message] | None:
    """A picture must not be too small."""
    (image,) = sizes[IMAGE]
    found = too_narrow(image, SMALLEST, LARGEST)
    return (IMAGE, found) if found else None


FAMILIES = [
    Family(
        STYLE_BANK,
        "Bank of styles",
        "One picture in every style, row by row",
        tasks=(
            Task(
                "style-transfer",
                "In the style of",
                StyleBankParams,
                inputs=(Input(IMAGE, "Picture"),),
                live=True,
                frame=FRAME,
                keeps=True,
                cost=cost,
                problem=problem,
            ),
        ),
        sampler="models.style_bank.sample",
        adopter="models.style_bank.adopt",
    )
]
