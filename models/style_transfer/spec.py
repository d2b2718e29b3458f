"""Parameters and task of style transfer; torch-free."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.autoencoders.shared_spec import SharpenedTraining, Width
from models.contract.family import Family, Preset, TrainingCost
from models.contract.fine_tuning import start_field
from models.contract.message import Message
from models.contract.painting import MASK, other_sizes
from models.contract.redrawing import FRAME, reduced, too_narrow
from models.contract.tasks import (
    IMAGE,
    MOST_MIXED,
    DeterministicParams,
    Input,
    Sizes,
    Task,
    Weights,
    some_weight,
    weights_field,
)
from models.contract.training_spec import MORE, BatchSize, EMADecay
from models.parts.convolutions_spec import work_of

STYLE_TRANSFER = "style-transfer"
STYLE = "style"  # a role
SMALLEST, LARGEST = 8, 2048  # pixels of a side
ITEMS_PER_SECOND = 5.0  # crops of 192 px by the default network on two cores
UNIT = 256 * 256  # pixels that take about as long as a picture of a small model


class StyleTransferConfig(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid")

    widths: tuple[Width, Width, Width] = Field((24, 48, 96), description="Channels at the whole size, 1/2 and 1/4")
    blocks: int = Field(3, ge=1, le=16, description="Residual blocks, at a quarter of the size")
    style_width: int = Field(128, ge=16, le=512, description="Channels at 1/8 of the network that sees styles")
    style: int = Field(96, ge=8, le=512, description="Numbers that a style is told by")


class StyleTransferTraining(SharpenedTraining):
    """How style transfer is learnt: any picture of the dataset in the style of any other."""

    model_config = ConfigDict(extra="forbid")

    network: StyleTransferConfig = StyleTransferConfig()
    start_from: str | None = start_field(STYLE_TRANSFER)
    size: int = Field(
        256,
        ge=64,
        le=1024,
        multiple_of=8,
        title="Size",
        description="Side of a picture",
        json_schema_extra={"unit": "px"},
    )
    crop: int = Field(
        192,
        ge=64,
        le=512,
        multiple_of=8,
        title="Crop",
        description="Side of what is seen of a picture at once",
        json_schema_extra=MORE,
    )
    batch_size: BatchSize = 8
    learning_rate: float = Field(1e-3, gt=0, le=1, title="Learning rate", description="Peak rate of AdamW")
    style_weight: float = Field(
        6.0, ge=0, le=100, title="Style weight", description="Of the distance from the style picture"
    )
    identity_weight: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Identity weight",
        description="Of giving back a picture in its own style",
        json_schema_extra=MORE,
    )
    ema_decay: EMADecay = 0.999

    @model_validator(mode="after")
    def crop_fits(self) -> StyleTransferTraining:
        if self.crop > self.size:
            raise ValueError("a crop is at most as large as a picture")
        return self


class StyleTransferParams(DeterministicParams):
    """A picture in the style of others."""

    strength: float = Field(
        1.0,
        ge=0,
        le=1.5,
        title="Strength",
        allow_inf_nan=False,
        description="How much of the style: 0 keeps the picture's own, 1 takes that of the style pictures",
    )
    style_weights: Weights | None = weights_field(STYLE, "How much of each style picture; empty takes all alike")
    keep_colours: bool = Field(
        False, strict=True, title="Keep the colours", description="Light and shade change, colours stay"
    )
    stroke_scale: float = Field(
        1.0,
        ge=0.5,
        le=4,
        title="Stroke size",
        allow_inf_nan=False,
        description="How large the strokes are",
        json_schema_extra={"step": 0.25, "more": True},
    )

    @model_validator(mode="after")
    def weighs_something(self) -> StyleTransferParams:
        some_weight(self.style_weights)
        return self


def cost(params: StyleTransferTraining) -> TrainingCost:
    """Of the network, and of the features by which it is judged."""
    usual = StyleTransferTraining()
    share = (params.crop / usual.crop) ** 2
    work, usual_work = (work_of(each.widths, each.blocks) for each in (params.network, usual.network))
    without = TrainingCost(
        fixed_bytes=500 << 20,
        item_bytes=round(params.crop**2 * (2500 + 60 * sum(params.network.widths))),
        items_per_second=ITEMS_PER_SECOND / share / (0.5 + 0.5 * work / usual_work),
    )
    return params.cost_of(params.crop, without)


def sampling_cost(params: StyleTransferParams, sizes: Sizes) -> int:
    """By pixels, of which small strokes need more; large ones are drawn first, and the picture over them."""
    (image,) = sizes[IMAGE]
    width, height = reduced(int(image["width"]), int(image["height"]), longest(params))
    pixels = width * height
    return max(1, math.ceil(pixels / UNIT * (1 / params.stroke_scale**2 + (params.stroke_scale > 1))))


def longest(params: StyleTransferParams) -> int:
    """Pixels of a side at which pictures are drawn again, at most; small strokes are drawn larger and made smaller."""
    return round(LARGEST * min(1.0, params.stroke_scale))


def problem(params: Any, sizes: Sizes) -> tuple[str, Message] | None:
    """A mask must be as large as the picture, and pictures not too small."""
    for role in (IMAGE, STYLE):
        for each in sizes[role]:
            if found := too_narrow(each, SMALLEST, longest(params)):
                return role, found
    return other_sizes(params, sizes) if sizes.get(MASK.role) else None


FAMILIES = [
    Family(
        STYLE_TRANSFER,
        "Style transfer",
        "Held-out pictures, each in the style of others",
        tasks=(
            Task(
                STYLE_TRANSFER,
                "In the style of",
                StyleTransferParams,
                inputs=(
                    Input(IMAGE, "Picture"),
                    Input(STYLE, "Style pictures", least=1, most=MOST_MIXED),
                    Input(MASK.role, "Mask: white takes the style", least=0, over=IMAGE),
                ),
                live=True,
                frame=FRAME,
                keeps=True,
                cost=sampling_cost,
                problem=problem,
            ),
        ),
        sampler="models.style_transfer.sample",
        training=StyleTransferTraining,
        trainer="models.style_transfer.train",
        evaluator="models.style_transfer.evaluate",
        presets=(
            Preset("quick", "Quick look", 500),
            Preset("good", "Good", 4000),
            Preset("best", "Best", 20_000, {"adversarial_weight": 0.05}),
        ),
        picture_size=lambda params, card_of: params.size,
        cost=cost,
        supports_early_stopping=lambda params: not params.is_sharpened,
    )
]
