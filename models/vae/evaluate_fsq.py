"""Figures of an FSQ autoencoder on pictures that it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.checkpoint import ZOO
from models.data import Collection, contact_sheet, to_pixels, to_unit
from models.vae.fsq import FSQAutoencoder
from models.vae.load import load_autoencoder
from models.vae.train_fsq import psnr, reconstruct

SHOWN, MEASURED = 48, 600
NAMES = {"concept": "psnr_held_out_concepts_db"}


def evaluate(folder: Path, data: Collection, published: Path = ZOO) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, originals beside reconstructions). Where nothing is held out, training pictures are shown."""
    network, _ = load_autoencoder(folder.name, torch.device("cpu"), beside=folder.parent)
    seen = data.indices("train", recoloured=False)
    seen = seen[:: max(1, len(seen) // MEASURED)]
    held_out = data.indices(*data.held_out[:1], recoloured=False)[:MEASURED] if data.held_out else seen
    return measured(network, to_unit(data.pictures(seen)), to_unit(data.pictures(held_out)), data.held_out)


def measured(
    network: FSQAutoencoder, seen: Tensor, held_out: Tensor, splits: list[str]
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    rebuilt = reconstruct(network, held_out)
    tokens = torch.cat([network.encode(part) for part in seen.split(64)])
    figures = {
        **({NAMES.get(splits[0], "psnr_held_out_db"): round(psnr(rebuilt, held_out), 2)} if splits else {}),
        "psnr_seen_db": round(psnr(reconstruct(network, seen), seen), 2),
        "bits_a_pixel": round(tokens[0].numel() * np.log2(network.quantizer.size) / held_out[0, 0].numel(), 4),
        "tokens_in_use": f"{tokens.unique().numel()} of {network.quantizer.size}",
    }
    step = max(1, len(held_out) // SHOWN)
    pairs = torch.stack([held_out[::step][:SHOWN], rebuilt[::step][:SHOWN]], 1).flatten(0, 1)
    return figures, contact_sheet(to_pixels(pairs), 12)
