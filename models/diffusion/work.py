"""What a request works on: a blank square, a picture drawn again, or the parts of one that a mask marks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.contract.painting import INPAINTING, MASK, REFERENCE, BeyondParams, other_sizes
from models.contract.sampling import Request, Unfit
from models.contract.tasks import IMAGE, TEXT_TO_IMAGE
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels
from models.diffusion.reference import seen_of
from models.diffusion.spec import FlowParams, FlowVariationParams
from models.parts.latents import fitted
from models.parts.noise import gaussian
from models.parts.regions import Mask, Square, paste, resized, square_mask, squares


@dataclass
class Work:
    """`canvas` (H, W, 3) is drawn on where `mask` (H, W) marks it, square by square, each seen at `side` pixels.

    The way to a picture begins at the time `start`: 0 forgets what was there.
    """

    request: Request
    side: int
    canvas: Pixels
    mask: Mask
    start: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.mask.copy()  # of what is to be drawn

    @property
    def params(self) -> FlowParams | FlowVariationParams:
        found: FlowParams | FlowVariationParams = self.request.params
        return found

    @property
    def guidance_scale(self) -> float:
        return self.params.guidance_scale if isinstance(self.params, FlowParams) else 1.0

    @cached_property
    def reference(self) -> Tensor | None:
        """(REFERENCE_WIDTH,): what is seen of the picture to go by, one that was given as such, or that more like it is
        wanted of.
        """
        is_variation = isinstance(self.params, FlowVariationParams)
        given = self.request.pictures(IMAGE if is_variation else REFERENCE.role)
        return seen_of(given[0]) if given else None

    @cached_property
    def squares(self) -> list[Square]:
        """Raises Unfit where the mask marks nothing."""
        if not (found := squares(self.mask, self.side)):
            raise Unfit("The mask marks nothing: white is what is drawn anew")
        return found

    def known(self, turn: int) -> Tensor:
        """(3, side, side) in [-1, 1]: what is there now."""
        seen = resized(self.squares[turn].cut(self.canvas), self.side)
        return torch.from_numpy(seen).permute(2, 0, 1) / 127.5 - 1

    def free(self, turn: int) -> Tensor:
        """(1, side, side): above 0 where something is still to be drawn."""
        marked = square_mask(self.squares[turn], self.left)
        return torch.from_numpy(resized(marked[..., None], self.side)).permute(2, 0, 1)

    def noise(self, turn: int, shape: tuple[int, ...]) -> Tensor:
        """By the request's seed, another one for each square."""
        return gaussian(self.request.seed, (turn + 1, *shape))[turn]

    def put(self, turn: int, drawn: Pixels) -> None:
        """Take a square's drawing (side, side, 3) as done."""
        square = self.squares[turn]
        paste(self.canvas, self.left, square, self.fit(drawn, square))
        rows, columns, _, _ = square.inside(*self.mask.shape)
        self.left[rows, columns] = 0

    def seen(self, turn: int, drawn: Pixels | None) -> Pixels:
        """The canvas as it is, with this much of a square."""
        canvas = self.canvas.copy()
        if drawn is not None:
            paste(canvas, self.left, self.squares[turn], self.fit(drawn, self.squares[turn]))
        return canvas

    @staticmethod
    def fit(drawn: Pixels, square: Square) -> Pixels:
        return np.rint(resized(drawn, square.side).clip(0, 255)).astype(np.uint8)


def work_of(request: Request, side: int) -> Work:
    """Raises Unfit for a mask of another size than the picture's."""
    params, everywhere = request.params, np.ones((side, side), np.float32)
    if request.task == TEXT_TO_IMAGE:
        return Work(request, side, np.full((side, side, 3), 255, np.uint8), everywhere)
    if isinstance(params, BeyondParams):
        picture = request.images[0]
        mask = np.pad(np.zeros(picture.shape[:2], np.float32), params.edges, constant_values=1)
        return Work(request, side, np.pad(picture, (*params.edges, (0, 0)), mode="edge"), mask)
    if request.task == INPAINTING:
        picture, mask = request.images[0], mask_of(request)
        if found := other_sizes(params, {IMAGE: [size_of(picture)], MASK.role: [size_of(mask)]}):
            raise Unfit(found[1])
        return Work(request, side, picture.copy(), mask, 1 - params.strength)
    pixels = to_pixels(fitted(request.images[0], side))[0].permute(1, 2, 0).numpy()
    return Work(request, side, pixels, everywhere, 1 - params.strength)


def size_of(picture: npt.NDArray[np.generic]) -> dict[str, int]:
    """Of (H, W, ...), as tasks are told it."""
    return {"width": picture.shape[1], "height": picture.shape[0]}


def mask_of(request: Request) -> Mask:
    """(H, W) in [0, 1], by how light it is."""
    (given,) = request.inputs[MASK.role]
    assert isinstance(given, Picture), "a mask is a picture"
    return given.pixels.astype(np.float32).mean(-1) / 255
