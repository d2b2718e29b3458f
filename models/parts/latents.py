"""What families share that map latents to pictures, where latents of the usual pictures are a standard normal.

Pictures from chance, more like one, and mixtures of some.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoint import CheckpointError
from models.contract.sampling import BATCHES, OnStep, Output, Request, padded
from models.contract.tasks import INTERPOLATION, TEXT_TO_IMAGE, VARIATION
from models.contract.values import Picture
from models.data.pictures import to_pixels, to_unit
from models.parts.interpolation import mixing_weights, mixture, slerp
from models.parts.placed import bytes_of

TASK = "unconditional-image-generation"
REMEMBERED = 256  # given pictures

T = TypeVar("T")
Prompted = Callable[[str, Tensor, Tensor | None], Tensor]
Encode = Callable[[Tensor, OnStep], tuple[Tensor, Tensor | None]]


class Remembered(Generic[T]):
    """What was made of the pictures that were given last. Jobs and live frames draw in threads of their own."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self.most, self.lock = most, threading.Lock()
        self.known: OrderedDict[bytes, T] = OrderedDict()

    def of(self, image: npt.NDArray[np.uint8], make: Callable[[], T]) -> T:
        """What `make` makes of a picture, made once: a slider asks again and again."""
        key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
        with self.lock:
            if key in self.known:
                self.known.move_to_end(key)
                return self.known[key]
        made = make()
        with self.lock:
            self.known[key] = made
            while len(self.known) > self.most:
                self.known.popitem(last=False)
        return made


def fitted(image: npt.NDArray[np.uint8], size: int) -> Tensor:
    """(1, 3, size, size) in [-1, 1]: the middle of a picture of any size."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = torch.from_numpy(image[top : top + side, left : left + side].copy())
    pictures = to_unit(middle.permute(2, 0, 1)[None])
    if side == size:
        return pictures
    return F.interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)


@dataclass
class LatentSampler:
    """`draw(latents, labels)` gives pictures in [-1, 1], `latent(random, params)` one request's numbers from chance.

    `encode(pictures, on_step)` gives (latents, labels) of (B, 3, size, size) pictures; it may take many steps.
    `prompted(prompt, latents, labels)` gives those latents that chance and a prompt make.
    """

    network: nn.Module
    size: int
    draw: Callable[[Tensor, Tensor | None], Tensor]
    latent: Callable[[np.random.Generator, Any], npt.NDArray[np.float64]]
    encode: Encode
    labels: list[str]
    directions: dict[str | None, Tensor]  # by name (latent,), the step that is an amount of one
    prompted: Prompted | None = None
    batch_size: int = BATCHES[-1]
    remembered: Remembered[tuple[Tensor, int]] = field(default_factory=lambda: Remembered())

    @property
    def memory_bytes(self) -> int:
        return bytes_of(self.network)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @torch.no_grad()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, each from its own seed and pictures alone."""
        encoded = self.encode_all(batch, on_step) if batch[0].images else {}
        drawn = padded([self.draws(request, encoded) for request in batch])
        latents = torch.stack([latent for latent, _ in drawn]).to(self.device)
        labels = torch.tensor([label for _, label in drawn], device=self.device) if self.labels else None
        pictures = self.draw(latents, labels)[: len(batch)]
        on_step(1, 1, list)
        pixels = to_pixels(pictures).permute(0, 2, 3, 1).cpu().numpy()
        found = []
        for each, request, (_, label) in zip(pixels, batch, drawn, strict=False):
            facts = {"label": self.labels[label]} if self.labels else {}
            alone: dict[str, Any] = {}
            if request.task == INTERPOLATION.name:
                alone = {
                    "weights": [round(weight, 6) for weight in mixing_weights(request, len(request.images))],
                    "path": False,
                }
            found.append(Output(Picture(each), facts, alone))
        return found

    def draws(self, request: Request, encoded: dict[int, tuple[Tensor, int]]) -> tuple[Tensor, int]:
        """(latent, label) of a request. numpy's generator takes seeds of any size for different ones."""
        random = np.random.default_rng(request.seed)
        given = [encoded[id(image)] for image in request.images]
        if request.task == VARIATION.name:
            (latent, label), chance = given[0], torch.from_numpy(random.standard_normal(given[0][0].shape)).float()
            varied = slerp(latent, chance, request.params.strength)
            if (direction := self.directions.get(request.params.direction)) is not None:
                varied = varied + request.params.amount * direction
            return varied, label
        if request.task == INTERPOLATION.name:
            weights = mixing_weights(request, len(request.images))
            mixed, label = mixture([latent for latent, _ in given], weights), given[int(np.argmax(weights))][1]
            chance = torch.from_numpy(random.standard_normal(mixed.shape)).float()
            return slerp(mixed, chance, request.params.variety), label
        latent, label = torch.from_numpy(self.latent(random, request.params)).float(), 0
        if self.labels:
            drawn, wanted = int(random.integers(len(self.labels))), request.params.label
            label = self.labels.index(wanted) if wanted in self.labels else drawn
        if request.task == TEXT_TO_IMAGE:
            assert self.prompted is not None, "the family of the checkpoint has this task only with a prompted prior"
            labels = torch.tensor([label], device=self.device) if self.labels else None
            latent = self.prompted(request.params.prompt, latent[None].to(self.device), labels)[0].cpu()
        return latent, label

    def encode_all(self, batch: list[Request], on_step: OnStep) -> dict[int, tuple[Tensor, int]]:
        """By identity of the picture: one by one, so that latents depend on no other picture and are kept at once."""
        return {
            id(image): self.remembered.of(image, partial(self.encode_one, image, len(batch), on_step))
            for request in batch
            for image in request.images
        }

    def encode_one(self, image: npt.NDArray[np.uint8], shown: int, on_step: OnStep) -> tuple[Tensor, int]:
        """(latent, label) of a picture; meanwhile it is what all `shown` requests see."""
        latents, labels = self.encode(
            fitted(image, self.size).to(self.device),
            lambda step, total, previews: on_step(step, total, lambda: previews() * shown),
        )
        return latents[0].cpu(), 0 if labels is None else int(labels[0])

    def pictures(self, params: Any, count: int) -> Tensor:
        """(count, 3, H, W) uint8 from chance, of the seeds from 0 on."""
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
