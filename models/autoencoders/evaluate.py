"""Figures of an autoencoder with a latent grid, on pictures that it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.likelihood import divergence
from models.autoencoders.load import load
from models.autoencoders.spatial import SpatialAutoencoder
from models.autoencoders.train import reconstruct
from models.data.pictures import Collection, contact_sheet, spread, to_pixels, to_unit
from models.measure.effort import Effort, held_out
from models.measure.metrics import psnr

SHOWN, MEASURED = 48, 600
NAMES = {"concept": "psnr_held_out_concepts_db"}


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, originals beside reconstructions). Where nothing is held out, training pictures are shown."""
    network = load(folder, torch.device("cpu"))
    train = data.indices("train", recoloured=False)
    one = to_unit(data.pictures(train[:1]))
    most = effort.most(MEASURED, lambda count: reconstruct(network, one.repeat(2 * count, 1, 1, 1)))
    seen = to_unit(data.pictures(train[:: max(1, len(train) // most)]))
    splits = data.held_out[:1]
    shown = to_unit(data.pictures(spread(data.indices(*splits, recoloured=False), most))) if splits else seen
    rebuilt = reconstruct(network, shown)
    figures = {
        **({NAMES.get(splits[0], "psnr_held_out_db"): round(psnr(rebuilt, shown), 2)} if len(held_out(data)) else {}),
        "psnr_seen_db": round(psnr(reconstruct(network, seen), seen), 2),
        **of_the_latent(network, seen),
    }
    step = max(1, len(shown) // SHOWN)
    pairs = torch.stack([shown[::step][:SHOWN], rebuilt[::step][:SHOWN]], 1).flatten(0, 1)
    return figures if effort.is_worth_it else {}, contact_sheet(to_pixels(pairs), 12)


@torch.no_grad()
def of_the_latent(network: SpatialAutoencoder, pictures: Tensor) -> dict[str, Any]:
    """How much it holds, and how much of it is used."""
    if isinstance(network, FSQAutoencoder):
        tokens = torch.cat([network.encode(part) for part in pictures.split(64)])
        bits = tokens[0].numel() * np.log2(network.quantizer.size) / pictures[0, 0].numel()
        return {
            "bits_a_pixel": round(float(bits), 4),
            "tokens_in_use": f"{tokens.unique().numel()} of {network.quantizer.size}",
        }
    assert isinstance(network, KLAutoencoder)
    parts = [network.posterior(part) for part in pictures.split(64)]
    means, log_variances = (torch.cat(part) for part in zip(*parts, strict=True))
    return {
        "kl_nats": round(float(divergence(means, log_variances).flatten(1).sum(1).mean()), 1),
        "latent_scale": [round(float(channel), 3) for channel in means.std((0, 2, 3))],
    }
