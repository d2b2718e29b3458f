"""Pictures from chance: what every family that maps latents to pictures shares when it samples and is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.base import OnStep, Output, Request
from models.checkpoint import CheckpointError
from models.data import Collection, contact_sheet, to_pixels
from models.likeness import MOST, likeness

BATCHES = (1, 2, 4, 8, 16)  # a batch is padded to one of these, so that few shapes occur
SHOWN, COLUMNS, SHOWN_SIDE = 60, 12, 96
TASK = "unconditional-image-generation"


@dataclass
class ChanceSampler:
    """`draw(latents, labels)` gives pictures in [-1, 1]; `latent(random, params)` one request's numbers."""

    network: nn.Module
    draw: Callable[[Tensor, Tensor | None], Tensor]
    latent: Callable[[np.random.Generator, Any], npt.NDArray[np.float64]]
    labels: list[str]
    batch_size: int = BATCHES[-1]

    @property
    def memory_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.network.parameters())

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, in a single step; each from its own seed alone."""
        padded = [*batch, *[batch[-1]] * (next(b for b in BATCHES if b >= len(batch)) - len(batch))]
        drawn = [self.draws(request) for request in padded]
        device = next(self.network.parameters()).device
        latents = torch.from_numpy(np.stack([latent for latent, _ in drawn])).float().to(device)
        labels = torch.tensor([label for _, label in drawn], device=device) if self.labels else None
        pictures = self.draw(latents, labels)[: len(batch)]
        on_step(1, 1, list)
        pixels = to_pixels(pictures).permute(0, 2, 3, 1).cpu().numpy()
        named = [{"label": self.labels[label]} if self.labels else {} for _, label in drawn]
        return [Output(each, metadata) for each, metadata in zip(pixels, named, strict=False)]

    def draws(self, request: Request) -> tuple[npt.NDArray[np.float64], int]:
        """(latent, label) of a request. numpy's generator takes seeds of any size for different ones."""
        random = np.random.default_rng(request.seed)
        latent = self.latent(random, request.params)
        if not self.labels:
            return latent, 0
        drawn = int(random.integers(len(self.labels)))
        wanted = request.params.label
        return latent, self.labels.index(wanted) if wanted in self.labels else drawn

    def pictures(self, params: Any, count: int) -> Tensor:
        """(count, 3, H, W) uint8, of the seeds from 0 on."""
        found: list[Output] = []
        while len(found) < count:
            seeds = range(len(found), len(found) + self.batch_size)
            found += self.sample([Request(TASK, params, seed) for seed in seeds], lambda *_: None)
        return torch.from_numpy(np.stack([output.pixels for output in found[:count]])).permute(0, 3, 1, 2)


def label_list(card: dict[str, Any], classes: int) -> list[str]:
    """Names of the styles that a checkpoint has learnt. Raises CheckpointError when they are not as many as it has."""
    labels = [str(label) for label in card.get("labels", [])]
    if len(labels) != classes:
        raise CheckpointError("the card does not name the labels that the weights have")
    return labels


def evaluate_chance(
    sampler: ChanceSampler, learnt: Any, usual: Any, data: Collection
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures of all that it has learnt, contact sheet of pictures with the usual parameters, which nobody chose)."""
    sheet = contact_sheet(sampler.pictures(usual, SHOWN), COLUMNS)
    scale = max(1, SHOWN_SIDE // data.images.shape[1])
    figures = likeness(sampler.pictures(learnt, MOST), data)
    return figures, np.kron(sheet, np.ones((scale, scale, 1), dtype=np.uint8))
