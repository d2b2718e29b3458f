"""Figures of a GAN: how near its pictures are to real ones, how many kinds of them it draws, whether it copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.base import Request
from models.checkpoint import ZOO
from models.data import Collection, contact_sheet
from models.gan.sample import load
from models.gan.spec import UnconditionalImage
from models.likeness import MOST, likeness

SHOWN, COLUMNS = 60, 12


def evaluate(folder: Path, data: Collection, published: Path = ZOO) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet of pictures that nobody chose)."""
    sampler = load(folder, torch.device("cpu"))
    pictures = []
    for start in range(0, MOST, sampler.batch_size):
        params = UnconditionalImage(truncation=4.0)  # what it has learnt, not only the usual
        batch = [Request("unconditional-image-generation", params, seed) for seed in range(start, start + 16)]
        pictures += [output.pixels for output in sampler.sample(batch, lambda *_: None)]
    drawn = torch.from_numpy(np.stack(pictures[:MOST])).permute(0, 3, 1, 2)
    usual = [Request("unconditional-image-generation", UnconditionalImage(), seed) for seed in range(SHOWN)]
    shown = [
        output.pixels
        for start in range(0, SHOWN, sampler.batch_size)
        for output in sampler.sample(usual[start : start + sampler.batch_size], lambda *_: None)
    ]
    sheet = contact_sheet(torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2), COLUMNS)
    scale = max(1, 96 // data.images.shape[1])
    return likeness(drawn, data), np.kron(sheet, np.ones((scale, scale, 1), dtype=np.uint8))
