"""Enlarges pictures of any size, tile by tile, in bounded memory and without seams."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import loaded
from models.contract.message import Message
from models.contract.sampling import OnStep, Output, Previews, Request, Unfit, as_pictures
from models.contract.upscaling import LARGEST, TILE, UpscalingParams
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels, to_unit
from models.parts.placed import bytes_of, placed
from models.upscaling.network import Upscaler, shrunk, upscaler
from models.upscaling.spec import FACTOR, UpscalingConfig


class UpscalingSampler:
    """A network that enlarges four times; twice is that, made smaller again."""

    batch_size = 1

    def __init__(self, network: Upscaler) -> None:
        self.network = network
        self.device = network.device
        self.memory_bytes = bytes_of(network)

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request. Raises Unfit for one that would be larger than LARGEST."""
        return [Output(Picture(self.enlarged(request, on_step))) for request in batch]

    def enlarged(self, request: Request, on_step: OnStep) -> Pixels:
        params: UpscalingParams = request.params
        given = request.images[0]
        height, width = (side * params.factor for side in given.shape[:2])
        if max(height, width) > LARGEST:
            size = Message("{width} x {height}", width=width, height=height)
            raise Unfit("It would have {size} pixels; {most} a side are the most", size=size, most=LARGEST)
        if params.pixel_art:
            return given.repeat(params.factor, 0).repeat(params.factor, 1)
        made = np.full((height, width, 3), 255, np.uint8)
        corners = [(top, left) for top in range(0, len(given), TILE) for left in range(0, given.shape[1], TILE)]
        for done, (top, left) in enumerate(corners, 1):
            tile = self.tile(given, top, left, params.factor)
            rows, columns = top * params.factor, left * params.factor
            made[rows : rows + tile.shape[0], columns : columns + tile.shape[1]] = tile
            on_step(done, len(corners), partial(previews, made))
        return made

    def tile(self, given: Pixels, top: int, left: int, factor: int) -> Pixels:
        """The tile at a corner, enlarged with all around it that decides what it becomes: so tiles have no seams."""
        reach = self.network.config.reach + 1  # one more for the filter that makes four times twice
        height, width = min(TILE, len(given) - top), min(TILE, given.shape[1] - left)
        rows = slice(max(0, top - reach), top + height + reach)
        columns = slice(max(0, left - reach), left + width + reach)
        x = to_unit(torch.from_numpy(given[rows, columns].copy()).permute(2, 0, 1)[None].to(self.device))
        x = self.network(x.contiguous(memory_format=torch.channels_last))
        x = x if factor == FACTOR else shrunk(x, FACTOR // factor)
        above, before = factor * (top - rows.start), factor * (left - columns.start)
        x = x[..., above : above + factor * height, before : before + factor * width]
        found: Pixels = to_pixels(x)[0].permute(1, 2, 0).cpu().numpy()
        return found


def previews(made: Pixels) -> Previews:
    """What is done so far."""
    return as_pictures([made.copy()])


def load(folder: Path, device: torch.device, published: Path | None = None) -> UpscalingSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, _ = loaded(folder, lambda config: upscaler(UpscalingConfig(**config)))
    return UpscalingSampler(placed(network, device))
