"""Draws a picture again in one of the styles of a bank, or between two."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import loaded
from models.contract.sampling import OnStep, Output, Request, Unfit
from models.contract.tasks import IMAGE
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels, to_unit
from models.parts.placed import bytes_of, placed
from models.parts.redrawing import on_grid, with_colours_of, within
from models.style_bank.network import StyleBank
from models.style_bank.spec import LARGEST, StyleBankConfig, StyleBankParams, problem


class StyleBankSampler:
    """One network; a style is how much of each there is."""

    batch_size = 1

    def __init__(self, network: StyleBank) -> None:
        self.network = network
        self.device = next(network.parameters()).device
        self.memory_bytes = bytes_of(network)

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, as large as what was given, or as the most. Raises Unfit for a small one."""
        made = []
        for asked in batch:
            height, width = asked.images[0].shape[:2]
            if found := problem(asked.params, {IMAGE: [{"width": width, "height": height}]}):
                raise Unfit(found[1])
            request, remark = within(asked, LARGEST)
            made.append(Output(Picture(self.drawn(request)), remark=remark))
            on_step(1, 1, list)
        return made

    def drawn(self, request: Request) -> Pixels:
        pixels, params = request.images[0], request.params
        height, width = pixels.shape[:2]
        picture = to_unit(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self.device))
        made = self.network(on_grid(picture), self.weights(params))[..., :height, :width]
        if params.keep_colours:
            made = with_colours_of(picture, made)
        found_pixels: Pixels = to_pixels(torch.lerp(picture, made, params.strength))[0].permute(1, 2, 0).cpu().numpy()
        return found_pixels

    def weights(self, params: StyleBankParams) -> Tensor:
        """(1, N) of the styles by their numbers, which begin with 1. Raises Unfit for one that there is not."""
        share = params.mix if params.second_style else 0.0
        weights = torch.zeros(1, self.network.styles, device=self.device)
        for name, part in ((params.style or "1", 1 - share), (params.second_style or "1", share)):
            if not (name.isascii() and name.isdecimal() and 1 <= int(name) <= self.network.styles):
                raise Unfit("There are {count} styles", count=self.network.styles)
            weights[0, int(name) - 1] += part
        return weights


def load(folder: Path, device: torch.device, published: Path | None = None) -> StyleBankSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, _ = loaded(folder, lambda config: StyleBank(StyleBankConfig(**config)))
    return StyleBankSampler(placed(network, device))
