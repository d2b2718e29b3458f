"""What a request works on: a blank square, a picture drawn again, or the parts of one that a mask marks; and what all
that draw so have in common, whatever they draw with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.contract.painting import IMAGE_VARIATION, INPAINTING, MASK, REFERENCE, BeyondParams, other_sizes
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request, Unfit, as_pictures
from models.contract.tasks import IMAGE, TEXT_TO_IMAGE
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels
from models.painting.reference import seen_of
from models.painting.regions import Mask, Square, paste, resized, square_mask, squares
from models.parts.latents import fitted
from models.parts.noise import gaussian
from models.parts.prompt import drop_prompts
from models.parts.prompt_spec import REFERENCE_WIDTH
from models.parts.text import PromptEncoder


@dataclass
class Work:
    """`canvas` (H, W, 3) is drawn on where `mask` (H, W) marks it, square by square, each seen at `side` pixels.

    `start` is the share of the way to a picture that what was there has gone already: 0 forgets it.
    """

    request: Request
    side: int
    canvas: Pixels
    mask: Mask
    start: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.mask.copy()  # of what is to be drawn

    @property
    def params(self) -> Any:
        return self.request.params

    @property
    def texts(self) -> tuple[str, str]:
        """What it is to be of, and what guidance leads away from."""
        return getattr(self.params, "prompt", ""), getattr(self.params, "negative_prompt", "")

    @property
    def guidance_scale(self) -> float:
        return float(getattr(self.params, "guidance_scale", 1.0))

    @cached_property
    def reference(self) -> Tensor | None:
        """(REFERENCE_WIDTH,): what is seen of the picture to go by, one that was given as such, or that more like it is
        wanted of.
        """
        given = self.request.pictures(IMAGE if self.request.task == IMAGE_VARIATION else REFERENCE.role)
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


def conditions(
    works: Sequence[Work], prompts: PromptEncoder, takes_reference: bool, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(2 B, T) tokens, (2 B, 512) sentences and (2 B, REFERENCE_WIDTH) references, None where there are none: what
    works go by, then what guidance leads away from.
    """
    texts = [text for side in zip(*(work.texts for work in works), strict=True) for text in side]
    words, sentences = prompts.encode(texts)
    dropped = torch.tensor([not text.strip() for text in texts])
    tokens, sentence = drop_prompts(torch.from_numpy(words), torch.from_numpy(sentences), dropped)
    reference = None
    if takes_reference and any(work.reference is not None for work in works):
        none = torch.zeros(REFERENCE_WIDTH)
        found = [none if work.reference is None else work.reference for work in works]
        reference = torch.stack(found + [none] * len(found)).to(device)
    return tokens.to(device), sentence.to(device), reference


class PaintingSampler(ABC):
    """Draws the squares of a batch's works together, in turn: later ones see what earlier ones drew."""

    batch_size = BATCHES[-1]
    side: int  # pixels of what it draws at once
    prompts: PromptEncoder

    @abstractmethod
    def steps(self, work: Work) -> int:
        """That one square takes; works of other numbers go apart."""

    @abstractmethod
    def draw(
        self, works: list[Work], turn: int, steps: int, on_step: Callable[[int, Callable[[], list[Pixels]]], None]
    ) -> list[Pixels]:
        """A square (side, side, 3) of each work. `on_step` is told the steps that are done, and how to make pictures of
        what they gave.
        """

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request. Raises Unfit for a mask that marks nothing."""
        works = [work_of(request, self.side) for request in batch]
        turns = [
            (steps, turn, chosen)
            for steps in sorted({self.steps(work) for work in works})
            for turn in range(max(len(work.squares) for work in works))
            if (chosen := [w for w in works if self.steps(w) == steps and turn < len(w.squares)])
        ]
        total, before = sum(steps for steps, _, _ in turns), 0
        for steps, turn, chosen in turns:

            def told(
                step: int,
                drawn: Callable[[], list[Pixels]],
                chosen: list[Work] = chosen,
                before: int = before,
                turn: int = turn,
            ) -> None:
                on_step(before + step, total, partial(self._unfinished, works, chosen, turn, drawn))

            for work, drawn in zip(chosen, self.draw(chosen, turn, steps, told), strict=False):
                work.put(turn, drawn)
            before += steps
        return [Output(Picture(work.canvas), remark=self.prompts.remark(work.texts[0])) for work in works]

    @torch.inference_mode()
    def _unfinished(
        self, works: list[Work], chosen: list[Work], turn: int, drawn: Callable[[], list[Pixels]]
    ) -> Previews:
        """What is foreseen of every work of a batch; those whose turn has not come are as they were given, or white."""
        pictures = dict(zip(map(id, chosen), drawn(), strict=False))
        return as_pictures([work.seen(turn, pictures.get(id(work))) for work in works])
