"""Draws pictures of any size in the style of others, large ones in tiles that have no seams."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import loaded
from models.contract.painting import MASK
from models.contract.sampling import OnStep, Output, Previews, Request, Unfit, as_pictures
from models.contract.tasks import IMAGE
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels, to_unit
from models.parts.convolutions import GRID
from models.parts.placed import bytes_of, placed
from models.parts.redrawing import on_grid, with_colours_of, within
from models.parts.resizing import resized
from models.style_transfer.network import StyleTransferNetwork
from models.style_transfer.spec import SMALLEST, STYLE, StyleTransferConfig, longest, problem
from models.training.schedule import mixed_precision

STYLE_SIDE = 256  # pixels of a style picture's longer side, as the network has learnt them
THUMBNAIL = 512  # pixels of the longer side of what statistics are taken of
TILE = 512  # pixels of a side that are worked on at once
Span = tuple[int, int]


class StyleTransferSampler:
    """One network; styles are mixed as the numbers that it tells them by."""

    batch_size = 1

    def __init__(self, network: StyleTransferNetwork) -> None:
        self.network = network
        self.device = next(network.parameters()).device
        self.memory_bytes = bytes_of(network)

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, as large as what was given, or as the most. Raises Unfit for a small one."""
        made = []
        for asked in batch:
            check(asked)
            request, remark = within(asked, longest(asked.params))
            made.append(Output(Picture(self.transferred(request, on_step)), remark=remark))
        return made

    def transferred(self, request: Request, on_step: OnStep) -> Pixels:
        given, params = request.images[0], request.params
        picture = self.unit(given)
        own = self.network.style(fitted(picture, STYLE_SIDE))
        style = torch.lerp(own, self.style_of(request), params.strength)
        scales = [params.stroke_scale, 1.0] if params.stroke_scale > 1 else [params.stroke_scale]
        total = sum(len(tiles(*sides(picture, 1 / scale))) for scale in scales)
        made, done = picture, 0
        for scale in scales:

            def on_tile(so_far: Tensor) -> None:
                nonlocal done
                done += 1
                on_step(done, total, partial(previews, so_far, picture))

            made = resized_to(self.pass_over(scaled(made, 1 / scale), style, on_tile), picture.shape[-2:])
        if params.keep_colours:
            made = with_colours_of(picture, made)
        return self.masked(given, made, request)

    def unit(self, pixels: Pixels) -> Tensor:
        """(1, 3, H, W) in [-1, 1]."""
        return to_unit(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self.device))

    def style_of(self, request: Request) -> Tensor:
        """(1, D) of all style pictures, by their weights."""
        pictures = request.pictures(STYLE)
        weights = torch.tensor(request.params.style_weights or [1.0] * len(pictures), device=self.device)
        told = torch.cat([self.network.style(fitted(self.unit(each), STYLE_SIDE)) for each in pictures])
        return (told * (weights / weights.sum())[:, None]).sum(0, keepdim=True)

    def pass_over(self, picture: Tensor, style: Tensor, on_tile: Callable[[Tensor], None]) -> Tensor:
        """(1, 3, H, W) once through the network, tile by tile; normalised as a small version of the whole is."""
        height, width = picture.shape[-2:]
        corners, made, statistics, reach = tiles(height, width), picture.clone(), None, 0
        with mixed_precision(self.device):
            if len(corners) > 1:
                statistics = self.network.statistics_of(on_grid(fitted(picture, THUMBNAIL)), style)
                reach = -(-self.network.reach // GRID) * GRID
            for (top, bottom), (left, right) in corners:
                rows = slice(max(0, top - reach), min(height, bottom + reach))
                columns = slice(max(0, left - reach), min(width, right + reach))
                found = self.network(on_grid(picture[..., rows, columns]), style, statistics)
                found = found[..., top - rows.start :, left - columns.start :]
                made[..., top:bottom, left:right] = found[..., : bottom - top, : right - left]
                on_tile(made)
        return made.clamp(-1, 1)

    def masked(self, given: Pixels, made: Tensor, request: Request) -> Pixels:
        """Where a mask is black, the picture comes back bit for bit."""
        pixels: Pixels = to_pixels(made)[0].permute(1, 2, 0).cpu().numpy()
        if not (masks := request.pictures(MASK.role)):
            return pixels
        share = masks[0].astype(np.float32).mean(-1, keepdims=True) / 255
        return np.where(share > 0, np.rint((1 - share) * given + share * pixels), given).astype(np.uint8)


def check(request: Request) -> None:
    """What is found out before a request is queued, for those that were not. Raises Unfit."""
    sizes = {
        role: [{"width": each.shape[1], "height": each.shape[0]} for each in request.pictures(role)]
        for role in (IMAGE, STYLE, MASK.role)
    }
    if found := problem(request.params, sizes):
        raise Unfit(found[1])


def tiles(height: int, width: int) -> list[tuple[Span, Span]]:
    """(rows, columns) of each, on the grid."""

    def spans(length: int) -> list[Span]:
        return [(start, min(start + TILE, length)) for start in range(0, length, TILE)]

    return [(rows, columns) for rows in spans(height) for columns in spans(width)]


def fitted(picture: Tensor, most: int) -> Tensor:
    """At most so large, and no side less than the network can see."""
    scale = min(1.0, most / max(picture.shape[-2:]))
    return scaled(picture, scale)


def scaled(picture: Tensor, scale: float) -> Tensor:
    return resized_to(picture, sides(picture, scale))


def sides(picture: Tensor, scale: float) -> Span:
    """(H, W) so many times as large, but never too small for the network."""
    height, width = (max(SMALLEST, round(scale * side)) for side in picture.shape[-2:])
    return height, width


def resized_to(picture: Tensor, size: tuple[int, ...]) -> Tensor:
    return picture if tuple(picture.shape[-2:]) == tuple(size) else resized(picture, size)


def previews(made: Tensor, whole: Tensor) -> Previews:
    """What is done so far."""
    pixels = to_pixels(resized_to(made.float().clamp(-1, 1), whole.shape[-2:]))[0].permute(1, 2, 0).cpu().numpy()
    return as_pictures([pixels])


def load(folder: Path, device: torch.device, published: Path | None = None) -> StyleTransferSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, _ = loaded(folder, lambda config: StyleTransferNetwork(StyleTransferConfig(**config)))
    return StyleTransferSampler(placed(network, device))
