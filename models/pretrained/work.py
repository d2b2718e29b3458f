"""What a request draws on: nothing, a picture that is drawn again, or the parts of one that a mask marks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models.contract.painting import IMAGE_TO_IMAGE, INPAINTING, MASK, BeyondParams
from models.contract.sampling import Request, Unfit
from models.contract.tasks import TEXT_TO_IMAGE
from models.contract.values import Pixels
from models.pretrained.spec import FOLLOWED, GONE_BY, LARGEST, SMALLEST
from models.pretrained.words import Learnt

Mask = npt.NDArray[np.uint8]  # (H, W): 255 is drawn anew


@dataclass
class Work:
    """`size` is (width, height) of what the pipeline draws; what comes of it is as large as the canvas of a mask."""

    request: Request
    size: tuple[int, int]
    canvas: Pixels | None = None
    mask: Mask | None = None
    learnt: Learnt = field(default_factory=dict)  # words that its prompts may name

    @property
    def params(self) -> Any:
        return self.request.params

    @property
    def prompts(self) -> tuple[str, str]:
        """What it is to be of, and what not."""
        return getattr(self.params, "prompt", ""), getattr(self.params, "negative_prompt", "")

    @property
    def kind(self) -> str:
        """Which arrangement of the pipeline draws it."""
        if self.canvas is None:
            return TEXT_TO_IMAGE
        return IMAGE_TO_IMAGE if self.mask is None else INPAINTING

    @property
    def steps(self) -> int:
        """Of the whole way from noise, of which a picture that is drawn again goes the last part."""
        return max(int(self.params.steps), math.ceil(1 / self.strength))

    @property
    def walked(self) -> int:
        """How many of them are gone."""
        return self.steps if self.canvas is None else max(1, round(self.steps * self.strength))

    @property
    def strength(self) -> float:
        return float(getattr(self.params, "strength", 1.0))

    @property
    def alike(self) -> str:
        """Works that agree in this may be drawn together."""
        settings = self.params.model_dump(exclude={"seed", "count", "prompt", "negative_prompt"})
        # Several ControlNets take the pictures of one work, and so does any IP-adapter.
        alone = id(self) if len(self.params.controls) > 1 or self.params.references else ""
        return f"{self.kind} {self.size} {settings} {alone}"

    def inputs(self) -> dict[str, Image.Image]:
        """As the pipeline is given them, in its size."""
        found = {"image": self.canvas, "mask_image": self.mask}
        return {name: Image.fromarray(each).resize(self.size) for name, each in found.items() if each is not None}

    def followed(self) -> list[Image.Image]:
        """What each ControlNet follows: where it has other proportions, its middle."""
        return [ImageOps.fit(Image.fromarray(each), self.size) for each in self.request.pictures(FOLLOWED.role)]

    def gone_by(self) -> list[Pixels]:
        """What each IP-adapter goes by."""
        return self.request.pictures(GONE_BY.role)

    def finished(self, drawn: Pixels) -> Pixels:
        """Where a mask does not mark it, the canvas comes back bit for bit."""
        if self.canvas is None or self.mask is None:
            return drawn
        height, width = self.mask.shape
        whole = np.asarray(Image.fromarray(drawn).resize((width, height)), np.float32)
        share = (self.mask.astype(np.float32) / 255)[..., None]
        return np.where(share > 0, np.rint((1 - share) * self.canvas + share * whole), self.canvas).astype(np.uint8)

    def blank(self) -> Pixels:
        """Before anything is drawn."""
        return np.full((*self.size[::-1], 3), 255, np.uint8) if self.canvas is None else self.canvas


def work_of(request: Request, usual: int, grid: int) -> Work:
    """`usual` is the side of a picture that says none. Raises Unfit for sides off the grid, and an empty mask."""
    params: Any = request.params
    if not request.images:
        size = params.width or usual, params.height or usual
        if any(side % grid for side in size):
            raise Unfit("Width and height must be multiples of {grid}", grid=grid)
        return Work(request, size)
    canvas = request.images[0]
    mask: Mask | None = None
    if isinstance(params, BeyondParams):
        mask = np.pad(np.zeros(canvas.shape[:2], np.uint8), params.edges, constant_values=255)
        canvas = np.pad(canvas, (*params.edges, (0, 0)), mode="edge")
    elif given := request.pictures(MASK.role):
        mask = given[0].mean(-1).round().astype(np.uint8)
        if not mask.any():
            raise Unfit("The mask marks nothing: white is what is drawn anew")
    return Work(request, fitted(canvas.shape[1], canvas.shape[0], grid), canvas, mask)


def fitted(width: int, height: int, grid: int) -> tuple[int, int]:
    """The nearest size on the grid of about the same proportions that is neither too small nor too large."""
    scale = min(max(1.0, SMALLEST / min(width, height)), LARGEST / max(width, height))

    def side(pixels: int) -> int:
        return max(SMALLEST, min(LARGEST, round(scale * pixels / grid) * grid))

    return side(width), side(height)
