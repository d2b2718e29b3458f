"""Figures of an FSQ autoencoder on concepts that it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.data import Collection, contact_sheet, to_pixels, to_unit
from models.vae.load import load_autoencoder
from models.vae.train_fsq import psnr, reconstruct

SHOWN = 48


def evaluate(folder: Path, data: Collection) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, originals beside reconstructions)."""
    network, _ = load_autoencoder(folder.name, torch.device("cpu"))
    held_out = to_unit(data.pictures(data.indices("concept", recoloured=False)))
    seen = to_unit(data.pictures(data.indices("train", recoloured=False)[::16]))
    rebuilt = reconstruct(network, held_out)
    tokens = torch.cat([network.encode(part) for part in seen.split(64)])
    figures = {
        "psnr_held_out_concepts_db": round(psnr(rebuilt, held_out), 2),
        "psnr_seen_db": round(psnr(reconstruct(network, seen), seen), 2),
        "bits_a_pixel": round(tokens[0].numel() * np.log2(network.quantizer.size) / held_out[0, 0].numel(), 4),
        "tokens_in_use": f"{tokens.unique().numel()} of {network.quantizer.size}",
    }
    step = len(held_out) // SHOWN
    pairs = torch.stack([held_out[::step][:SHOWN], rebuilt[::step][:SHOWN]], 1).flatten(0, 1)
    return figures, contact_sheet(to_pixels(pairs), 12)
