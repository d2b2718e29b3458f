"""Differentiable augmentation of what the discriminator sees, so that few pictures are not learnt by heart.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (DiffAugment), 2020; Karras et al., "Training
Generative Adversarial Networks with Limited Data" (ADA), 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

KINDS = 5  # brightness, saturation, contrast, shift, cutout
SHIFT, CUT = 1 / 8, 1 / 2  # of the side, at most
TARGET = 0.6  # of the mean sign of the discriminator's scores of real pictures: beyond it learns by heart
IMAGES_TO_FULL = 500_000  # from no augmentation to all, at the fastest


def draw(count: int, generator: torch.Generator) -> Tensor:
    """The random numbers that `augment` takes for `count` pictures: (count, KINDS, 3) in [0, 1)."""
    return torch.rand(count, KINDS, 3, generator=generator)


def augment(pictures: Tensor, chance: float, random: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1]; each kind of change happens to each picture with `chance`; `random` from `draw`."""
    if chance <= 0:
        return pictures
    random = random.to(pictures.device)
    happens = (random[..., 0] < chance).to(pictures.dtype).view(-1, KINDS, 1, 1, 1)
    amount = random[..., 1].to(pictures.dtype).view(-1, KINDS, 1, 1, 1)
    pictures = pictures + happens[:, 0] * (amount[:, 0] - 0.5)
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * (1 + happens[:, 1] * (2 * amount[:, 1] - 1))
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * (1 + happens[:, 2] * (amount[:, 2] - 0.5))
    places = random[..., 1:]
    return cut(shift(pictures, places[:, 3], happens[:, 3]), places[:, 4], happens[:, 4])


def of_rows(random: Tensor, kinds: tuple[int, ...], rows: slice, chance: float) -> Callable[[Tensor], Tensor]:
    """What is done to pictures of these `rows` of a batch, of one of the `kinds` after another; `random` (kinds, B,
    KINDS, 3).
    """
    return partial(augment, chance=chance, random=torch.cat([random[kind, rows] for kind in kinds]))


def shift(pictures: Tensor, places: Tensor, happens: Tensor) -> Tensor:
    """Move by whole pixels; what comes in repeats the border."""
    _, _, height, width = pictures.shape
    most = torch.tensor([round(height * SHIFT), round(width * SHIFT)], device=pictures.device)
    moves = (places * (2 * most + 1)).floor() - most
    moves = (moves * happens.view(-1, 1)).long()
    rows = (torch.arange(height, device=pictures.device) + moves[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=pictures.device) + moves[:, 1:]).clamp(0, width - 1)
    index = torch.arange(len(pictures), device=pictures.device)
    moved = pictures.permute(0, 2, 3, 1)[index[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cut(pictures: Tensor, places: Tensor, happens: Tensor) -> Tensor:
    """Blank a square of half the side, anywhere."""
    _, _, height, width = pictures.shape
    sides = torch.tensor([height, width], device=pictures.device)
    middles = places * sides
    rows = (torch.arange(height, device=pictures.device) + 0.5 - middles[:, :1]).abs() < height * CUT / 2
    columns = (torch.arange(width, device=pictures.device) + 0.5 - middles[:, 1:]).abs() < width * CUT / 2
    hole = (rows[:, None, :, None] & columns[:, None, None, :]).to(pictures.dtype) * happens
    return pictures * (1 - hole)


def adapted(strength: float, signs: float, batch: int, most: float) -> float:
    """The next strength: up while the discriminator tells real ones too surely (`signs` above TARGET), else down."""
    step = batch / IMAGES_TO_FULL
    return min(most, max(0.0, strength + (step if signs > TARGET else -step)))
