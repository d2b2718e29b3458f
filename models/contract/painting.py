"""What tasks that draw on a picture take: the roles of what they are given, and parameters. Torch-free."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, model_validator

from models.contract.message import Message
from models.contract.tasks import IMAGE, LONGEST_PROMPT, TEXT_TO_IMAGE, Input, SamplingParams, Sizes, Task, images
from models.contract.training_spec import MORE

IMAGE_TO_IMAGE, IMAGE_VARIATION, INPAINTING, OUTPAINTING = (
    "image-to-image",
    "image-variation",
    "inpainting",
    "outpainting",
)
PICTURE = Input(IMAGE, "Picture to work from", painted=True)
MASK = Input("mask", "Mask: white is drawn anew", over=IMAGE)
REFERENCE = Input("reference", "Picture to go by", least=0)
Extent = Annotated[int, Field(ge=0, le=512)]


def negative_prompt_field(longest: int = LONGEST_PROMPT) -> Any:
    return Field(
        "",
        max_length=longest,
        title="Negative prompt",
        description="What it should not look like",
        json_schema_extra=MORE,
    )


def steps_field(usual: int, least: int, most: int) -> Any:
    return Field(
        usual,
        ge=least,
        le=most,
        title="Steps",
        strict=True,
        description="From noise to the picture; more is finer and slower",
        json_schema_extra=MORE,
    )


def strength_field(
    usual: float, description: str = "How far from what is there; 1 draws after the prompt alone"
) -> Any:
    return Field(usual, ge=0.05, le=1, title="Strength", description=description)


def variation_field(usual: float) -> Any:
    return strength_field(usual, "How far from the picture; 1 gives a different one")


def extent_field(title: str, side: str) -> Any:
    return Field(
        0,
        title=title,
        description="How many pixels are added on this side",
        json_schema_extra={"unit": "px", "side": side},
    )


class BeyondParams(SamplingParams):
    """By how much a picture goes on beyond its edges."""

    left: Extent = extent_field("Left", "left")
    top: Extent = extent_field("Top", "top")
    right: Extent = extent_field("Right", "right")
    bottom: Extent = extent_field("Bottom", "bottom")

    @model_validator(mode="after")
    def something(self) -> BeyondParams:
        if not (self.left or self.top or self.right or self.bottom):
            raise ValueError("say on which side the picture is to go on, and by how many pixels")
        return self

    @property
    def edges(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels added above and below, left and right."""
        return (self.top, self.bottom), (self.left, self.right)


def other_sizes(params: SamplingParams, sizes: Sizes) -> tuple[str, Message] | None:
    """A mask is as large as its picture."""
    (image,), (mask,) = sizes[IMAGE], sizes[MASK.role]
    own, marked = (f"{each['width']} x {each['height']}" for each in (image, mask))
    if own == marked:
        return None
    return MASK.role, Message("The mask has {mask} pixels, the picture {picture}", mask=marked, picture=own)


def outpainting_cost(params: BeyondParams, sizes: Sizes) -> int:
    """Squares as large as the picture's shorter side that cover what is added."""
    (image,) = sizes[IMAGE]
    width, height = int(image["width"]), int(image["height"])
    rows, columns = params.edges
    whole = (width + sum(columns)) * (height + sum(rows))
    return min(64, math.ceil((whole - width * height) / max(64, min(width, height)) ** 2 * 2))


def painting_tasks(
    text_to_image: type[SamplingParams],
    image_to_image: type[SamplingParams],
    variation: type[SamplingParams],
    inpainting: type[SamplingParams],
    outpainting: type[BeyondParams],
) -> tuple[Task, ...]:
    """What a model does that draws after words what is missing of a picture, with one to go by beside the words."""
    return (
        Task(TEXT_TO_IMAGE, "Text to image", text_to_image, inputs=(REFERENCE,)),
        Task(IMAGE_TO_IMAGE, "Draw a picture again", image_to_image, inputs=(PICTURE, REFERENCE)),
        Task(IMAGE_VARIATION, "More like this", variation, inputs=images(1, 1)),
        Task(
            INPAINTING,
            "Draw a part anew",
            inpainting,
            inputs=(PICTURE, MASK, REFERENCE),
            problem=other_sizes,
            keeps=True,
        ),
        Task(
            OUTPAINTING,
            "Draw beyond the edges",
            outpainting,
            inputs=(PICTURE, REFERENCE),
            cost=outpainting_cost,
            keeps=True,
        ),
    )


def without_reference(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The same of a model that was not trained with reference pictures."""
    return tuple(replace(task, inputs=tuple(each for each in task.inputs if each != REFERENCE)) for task in tasks)
