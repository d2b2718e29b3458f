"""Translates pictures into one of a model's two styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.checkpoint import CheckpointError, loaded
from models.contract.sampling import OnStep, Output, Request, Unfit, as_pictures
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels, to_unit
from models.parts.convolutions import GRID
from models.parts.placed import bytes_of, placed
from models.parts.resizing import resized
from models.translation.network import TranslationNetwork
from models.translation.spec import TranslationConfig, styles_of

SMALLEST = 8  # pixels of a side


class TranslationSampler:
    batch_size = 16

    def __init__(self, network: TranslationNetwork, card: dict[str, Any]) -> None:
        self.network, self.styles = network, styles_of(card)
        self.device = next(network.parameters()).device
        self.memory_bytes = bytes_of(network)

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, in its own proportions, its longer side as long as those that were learnt. Raises
        Unfit.
        """
        made: list[Pixels] = []
        for done, request in enumerate(batch, 1):
            made.append(self.translated(request))
            waiting = [each.images[0] for each in batch[done:]]
            on_step(done, len(batch), lambda: as_pictures([*made, *waiting]))  # noqa: B023, called at once
        return [Output(Picture(pixels)) for pixels in made]

    def translated(self, request: Request) -> Pixels:
        wanted = request.params.style or self.styles[1]
        if wanted not in self.styles:
            raise Unfit("There is no style {name}", name=wanted)
        given = request.images[0]
        height, width = given.shape[:2]
        if min(height, width) < SMALLEST:
            raise Unfit("A picture must have {least} pixels a side at least", least=SMALLEST)
        scale = self.network.config.size / max(height, width)
        size = tuple(max(2 * GRID, round(scale * side / GRID) * GRID) for side in (height, width))
        x = to_unit(torch.from_numpy(given.copy()).permute(2, 0, 1)[None].to(self.device))
        x = self.network(resized(x, size).contiguous(memory_format=torch.channels_last), self.styles.index(wanted))
        pixels: Pixels = to_pixels(x.float())[0].permute(1, 2, 0).cpu().numpy()
        return pixels


def load(folder: Path, device: torch.device, published: Path | None = None) -> TranslationSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: TranslationNetwork(TranslationConfig(**config)))
    if len(styles_of(card)) != 2:
        raise CheckpointError("the model does not say what its two styles are")
    return TranslationSampler(placed(network, device), card)
