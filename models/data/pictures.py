"""Reads a prepared collection for training: memory-mapped pictures, captions, and an endless order of items."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.contract.message import MessageError

Indices: TypeAlias = npt.NDArray[np.int64]  # of items of a collection

CPU = torch.device("cpu")
FEWEST_MEASURED = 16


class Unsuitable(MessageError, ValueError):
    """A collection lacks what a family learns from."""


@dataclass
class Collection:
    """A prepared collection. `images` is (N, H, W, 3) uint8; `items[i]` describes `images[i]`."""

    folder: Path
    images: npt.NDArray[np.uint8]
    items: list[dict[str, Any]]
    card: dict[str, Any]

    def indices(self, *splits: str, recoloured: bool = True) -> Indices:
        """Items of these splits, with or without the recoloured variations."""
        return np.array(
            [
                i
                for i, item in enumerate(self.items)
                if item["split"] in splits and (recoloured or not item["recoloured"])
            ],
            dtype=np.int64,
        )

    def count(self, split: str) -> int:
        """Items that are measured: not the recoloured ones."""
        return len(self.indices(split, recoloured=False))

    @cached_property
    def mirrorable(self) -> Tensor:
        """(N,) bool: which show the same thing from left to right."""
        return torch.tensor([bool(item["mirrorable"]) for item in self.items])

    @property
    def held_out(self) -> list[str]:
        """The splits that are not trained on, by name."""
        return sorted({item["split"] for item in self.items} - {"train"})

    def picture(self, i: int) -> npt.NDArray[np.uint8]:
        """(H, W, 3), in its own proportions where they were kept."""
        height, width = self.size(i)
        row: npt.NDArray[np.uint8] = self.images[i].reshape(-1)[: 3 * height * width].reshape(height, width, 3)
        return row

    def size(self, i: int) -> tuple[int, int]:
        """(H, W)."""
        item = self.items[i]
        return (item["height"], item["width"]) if "height" in item else self.images.shape[1:3]

    def pictures(self, indices: Indices | Tensor, device: torch.device = CPU) -> Tensor:
        """(B, 3, H, W) uint8."""
        return sent(torch.from_numpy(self.images[np.asarray(indices)]), device).permute(0, 3, 1, 2)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device. From pinned memory a copy does not wait for what a GPU is at."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def spread(indices: Indices, most: int) -> Indices:
    """At most so many, evenly from all."""
    return indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)] if len(indices) else indices


def measured(data: Collection, most: int) -> Indices:
    """Held-out items that a run measures itself on: at most so many of 64 px, of larger ones as many pixels."""
    count = max(FEWEST_MEASURED, min(most, most * 64**2 // data.images.shape[1] ** 2))
    return spread(data.indices(*data.held_out[:1], recoloured=False), count)


def open_collection(folder: Path) -> Collection:
    """Raises FileNotFoundError when the folder holds no prepared collection."""
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").split("\n") if line]
    card = json.loads((folder / "card.json").read_text("utf-8"))
    return Collection(folder, np.load(folder / "images.npy", mmap_mode="r"), items, card)


def label_names(data: Collection) -> list[str]:
    """The styles of a collection's training pictures, where every one has one and they differ."""
    found = {data.items[i]["style"] for i in data.indices("train")}
    return sorted(found) if "" not in found and len(found) > 1 else []


def labels_of(data: Collection, indices: Indices, labels: list[str]) -> Tensor:
    """(N,) number of each item's style among `labels`; zero where it is none of them."""
    number = {name: i for i, name in enumerate(labels)}
    return torch.tensor([number.get(data.items[i]["style"], 0) for i in indices])


class EpochOrder:
    """Which items step `k` sees: each epoch is a permutation that depends on (seed, epoch) alone."""

    def __init__(self, indices: Indices, batch: int, seed: int) -> None:
        if len(indices) == 0:
            raise Unsuitable("there is nothing to train on")
        self.indices, self.batch, self.seed = indices, batch, seed
        self._epoch, self._order = -1, indices

    def at(self, step: int) -> Indices:
        """(batch,) item indices of a step; a batch may reach from one epoch into the next."""
        chosen: list[np.int64] = []
        position = step * self.batch
        while len(chosen) < self.batch:
            epoch, offset = divmod(position + len(chosen), len(self.indices))
            if epoch != self._epoch:
                self._epoch = epoch
                self._order = np.random.default_rng((self.seed, epoch)).permutation(self.indices)
            chosen.extend(self._order[offset : offset + self.batch - len(chosen)])
        return np.array(chosen)


class SizedOrder:
    """As `EpochOrder`, in batches of one size each; the last of a size is filled up with others of that size."""

    def __init__(self, indices: Indices, batch: int, seed: int, size: Callable[[int], tuple[int, int]]) -> None:
        if len(indices) == 0:
            raise Unsuitable("there is nothing to train on")
        self.batch, self.seed = batch, seed
        groups: dict[tuple[int, int], list[int]] = {}
        for i in indices.tolist():
            groups.setdefault(size(i), []).append(i)
        self.groups = [np.array(groups[key]) for key in sorted(groups)]
        self.steps = sum(-(-len(group) // batch) for group in self.groups)  # of an epoch
        self._epoch, self._batches = -1, list[Indices]()

    def at(self, step: int) -> Indices:
        """(batch,) item indices of a step."""
        epoch, number = divmod(step, self.steps)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self.batches(epoch)
        return self._batches[number]

    def batches(self, epoch: int) -> list[Indices]:
        random = np.random.default_rng((self.seed, epoch))
        made: list[Indices] = []
        for group in self.groups:
            count = -(-len(group) // self.batch)
            made += [*np.resize(random.permutation(group), (count, self.batch))]
        return [made[i] for i in random.permutation(len(made))]


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 pictures to float in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(pictures: Tensor) -> Tensor:
    """Float pictures in [-1, 1] to uint8."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def contact_sheet(pictures: Tensor, columns: int) -> npt.NDArray[np.uint8]:
    """(N, 3, H, W) uint8 -> one (rows H, columns W, 3) picture; missing cells are white."""
    n, _, height, width = pictures.shape
    rows = -(-n // columns)
    sheet = torch.full((rows * columns, 3, height, width), 255, dtype=torch.uint8)
    sheet[:n] = pictures
    grid = sheet.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, columns * width, 3).numpy()


def augment(pictures: Tensor, generator: torch.Generator, mirrorable: Tensor | None = None, shift: int = 2) -> Tensor:
    """Shift each picture by up to two pixels, where its edge goes on, and mirror half of them; (B, 3, H, W).

    `mirrorable` (B,) says which may be mirrored; None: all.
    """
    count, _, height, width = pictures.shape
    mirrored = torch.rand(count, generator=generator) < 0.5
    if mirrorable is not None:
        mirrored &= mirrorable
    mirrored = sent(mirrored, pictures.device).view(-1, 1, 1, 1)
    pictures = torch.where(mirrored, pictures.flip(-1), pictures)
    if not shift:
        return pictures
    shifts = sent(torch.randint(0, 2 * shift + 1, (count, 2), generator=generator), pictures.device)
    padded = F.pad(pictures, (shift, shift, shift, shift), mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count, device=pictures.device), :, shifts[:, 0], shifts[:, 1]]
