"""Making pictures larger: a task of its own, and the last step of a request for any other picture. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.contract.tasks import IMAGE, DeterministicParams, Sizes

IMAGE_UPSCALING = "image-upscaling"
TILE = 128  # pixels of a side that are enlarged at once
LARGEST = 4096  # pixels of a side, enlarged


class UpscalingParams(DeterministicParams):
    """A picture with more pixels."""

    factor: Literal[2, 4] = Field(4, title="Factor", description="How many times as wide and as high")
    pixel_art: bool = Field(
        False, strict=True, title="Pixel art", description="Every pixel becomes a square, and nothing is added"
    )


def upscaling_cost(params: UpscalingParams, sizes: Sizes) -> int:
    """Tiles, of which one takes about as long as four pictures of a small model."""
    (image,) = sizes[IMAGE]
    across, down = (-(-int(image[side]) // TILE) for side in ("width", "height"))
    return 1 if params.pixel_art else 4 * across * down


def steps_to(size: int, longer: int) -> list[int]:
    """Factors that bring a picture's longer side to `size` pixels or beyond, but never beyond LARGEST."""
    steps: list[int] = []
    while longer < size:
        factor = 2 if 2 * longer >= size or 4 * longer > LARGEST else 4
        if factor * longer > LARGEST:
            break
        longer *= factor
        steps.append(factor)
    return steps


def cost_of_size(size: int) -> int:
    """What it takes to bring a small picture to `size` pixels a side: by the tiles that are enlarged last."""
    return max(1, round(4 * (size / 4 / TILE) ** 2))
