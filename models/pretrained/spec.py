"""Parameters and tasks of pretrained pipelines, whose folders `models.contract.pipelines` knows; torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from models.contract.adapters import (
    CONTROL,
    EMBEDDING,
    LORA,
    MOST,
    MOST_CONTROLS,
    MOST_REFERENCES,
    REFERENCE,
    Adapter,
    Control,
)
from models.contract.family import Family
from models.contract.painting import (
    IMAGE_TO_IMAGE,
    IMAGE_VARIATION,
    INPAINTING,
    MASK,
    OUTPAINTING,
    PICTURE,
    BeyondParams,
    negative_prompt_field,
    other_sizes,
    steps_field,
    strength_field,
    variation_field,
)
from models.contract.pipelines import FAMILY
from models.contract.tasks import (
    TEXT_TO_IMAGE,
    AnyText,
    Input,
    PlainText,
    PromptedParams,
    SamplingParams,
    Sizes,
    Task,
    images,
    prompt_field,
)
from models.contract.training_spec import MORE
from models.pretrained.lora_spec import LORA_FAMILY

SMALLEST, LARGEST = 64, 2048  # sides
LONGEST = 4000  # characters of a prompt
USUAL_SIDE, USUAL_STEPS = 512, 25
UNITS = 64  # that a picture of that side and so many steps costs: pictures of a small model

FOLLOWED = Input("control", "Pictures to follow", least=0, most=MOST_CONTROLS)
GONE_BY = Input("reference", "Pictures to go by", least=0, most=MOST_REFERENCES)
Side = Annotated[int, Field(ge=SMALLEST, le=LARGEST, multiple_of=8, strict=True)]


def guidance_field() -> Any:
    return Field(
        None,
        ge=1,
        le=30,
        title="Guidance",
        allow_inf_nan=False,
        description="1 draws freely; higher keeps closer to the prompt; empty: as the model is usually used",
        json_schema_extra={"step": 0.5, "more": True},
    )


def scheduler_field() -> Any:
    return Field(
        None,
        max_length=80,
        title="Scheduler",
        description="How the way from noise is walked; empty: as the model came",
        json_schema_extra={"choices_from": "schedulers", "more": True},
    )


class WalkParams(SamplingParams):
    """How the way from noise to a picture is walked."""

    steps: int = steps_field(USUAL_STEPS, 1, 150)
    guidance_scale: float | None = guidance_field()
    scheduler: str | None = scheduler_field()
    adapters: list[Adapter] = Field(
        [],
        max_length=MOST,
        title="Adapters",
        description="LoRAs and learnt words that are built on the model, each with a weight",
        json_schema_extra={"part": "adapters", "kinds": [LORA, EMBEDDING], "widget": "adapters", "more": True},
    )
    controls: list[Control] = Field(
        [],
        max_length=MOST_CONTROLS,
        title="ControlNets",
        description="Each follows one of the pictures to follow, in their order",
        json_schema_extra={
            "part": "adapters",
            "kinds": [CONTROL],
            "follows": FOLLOWED.role,
            "widget": "adapters",
            "more": True,
        },
    )

    references: list[Adapter] = Field(
        [],
        max_length=MOST_REFERENCES,
        title="IP-adapters",
        description="Each goes by one of the pictures to go by, in their order",
        json_schema_extra={"part": "adapters", "kinds": [REFERENCE], "follows": GONE_BY.role}
        | {"widget": "adapters"}
        | MORE,
    )


class PipelineParams(WalkParams, PromptedParams):
    """A prompt, of any length, in which (words:1.3) may weigh more, and how the way from noise to a picture is
    walked.
    """

    prompt: PlainText = prompt_field(LONGEST)
    negative_prompt: AnyText = negative_prompt_field(LONGEST)
    clip_skip: int = Field(
        0,
        ge=0,
        le=8,
        title="CLIP skip",
        strict=True,
        description="Layers that are left out at the end of what reads the prompt",
        json_schema_extra=MORE,
    )


class TextToImageParams(PipelineParams):
    """A picture of any size, after a prompt."""

    width: Side | None = Field(
        None, title="Width", description="Empty: as the model was trained", json_schema_extra={"unit": "px"}
    )
    height: Side | None = Field(
        None, title="Height", description="Empty: as the model was trained", json_schema_extra={"unit": "px"}
    )


class ImageToImageParams(PipelineParams):
    """A picture drawn again, after a prompt."""

    strength: float = strength_field(0.6)


class InpaintingParams(PipelineParams):
    """What a mask marks, drawn after a prompt; the rest of the picture stays as it is."""

    strength: float = strength_field(1.0)


class OutpaintingParams(BeyondParams, PipelineParams):
    """A picture that goes on beyond its edges, after a prompt; the picture itself stays as it is."""


class VariationParams(WalkParams):
    """More like one picture, without words."""

    strength: float = variation_field(0.6)


def drawn_on(sizes: Sizes) -> list[tuple[str, Mapping[str, Any]]]:
    """What decides how large the work is, by role: not what is followed or gone by."""
    return [(role, each) for role in (PICTURE.role, MASK.role) for each in sizes.get(role, ())]


def batch_key(params: WalkParams, sizes: Sizes) -> str:
    """Pictures of one size that are walked to alike are drawn together."""
    alike = params.model_dump(exclude={"seed", "count", "prompt", "negative_prompt"})
    shapes = sorted((role, int(each["width"]), int(each["height"])) for role, each in drawn_on(sizes))
    return f"{type(params).__name__} {alike} {shapes}"


def cost(params: WalkParams, sizes: Sizes) -> int:
    """By pixels and steps."""
    width = getattr(params, "width", None) or USUAL_SIDE
    height = getattr(params, "height", None) or USUAL_SIDE
    pixels = max([width * height, *(int(each["width"]) * int(each["height"]) for _, each in drawn_on(sizes))])
    return max(1, math.ceil(UNITS * min(pixels, LARGEST**2) / USUAL_SIDE**2 * params.steps / USUAL_STEPS))


def task(name: str, title: str, params: type[WalkParams], *inputs: Input, **more: Any) -> Task:
    return Task(name, title, params, inputs=(*inputs, FOLLOWED, GONE_BY), batch_key=batch_key, cost=cost, **more)


FAMILIES = [
    Family(
        FAMILY,
        "Pretrained pipeline",
        tasks=(
            task(TEXT_TO_IMAGE, "Text to image", TextToImageParams),
            task(IMAGE_TO_IMAGE, "Draw a picture again", ImageToImageParams, PICTURE),
            task(IMAGE_VARIATION, "More like this", VariationParams, *images(1, 1)),
            task(
                INPAINTING,
                "Draw a part anew",
                InpaintingParams,
                PICTURE,
                MASK,
                problem=other_sizes,
                keeps=True,
            ),
            task(OUTPAINTING, "Draw beyond the edges", OutpaintingParams, PICTURE, keeps=True),
        ),
        sampler="models.pretrained.sample",
        economizes=True,
        number_bytes=None,
    ),
    LORA_FAMILY,
    *(
        Family(name, title, loader="models.pretrained.adapters", number_bytes=None)
        for name, title in ((EMBEDDING, "Textual inversion"), (CONTROL, "ControlNet"), (REFERENCE, "IP-adapter"))
    ),
]
