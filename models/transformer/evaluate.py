"""Figures of the encoder-decoder transformer: its loss, and what is measured of all that draw from prompts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.autoencoders.tokens import Examples
from models.data.pictures import Collection
from models.measure.effort import FEWEST, Effort
from models.measure.prompted import MOST_SHOWN, SPLITS, measure
from models.transformer.sample import TransformerSampler, load, requests
from models.transformer.train import evaluate as loss_of


def evaluate(
    folder: Path, data: Collection, published: Path, effort: Effort
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(figures, contact sheet)."""
    sampler = load(folder, torch.device("cpu"), published)
    figures, sheet = measure(sampler, requests, data, effort)
    return {**figures, **(losses(sampler, data) if effort.is_worth_it else {})}, sheet


def losses(sampler: TransformerSampler, data: Collection) -> dict[str, Any]:
    """Teacher-forced cross-entropy; a fixed caption each, recoloured items left out."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = {
            name: data.indices(split, recoloured=False)[
                :: 20 if split == "train" and len(data.items) > MOST_SHOWN else 1
            ]
            for split, name in SPLITS.items()
        }
        chosen = {name: indices for name, indices in chosen.items() if len(indices) >= FEWEST}
        every = np.concatenate(list(chosen.values()))
        part = Collection(Path(folder), data.images[every], [data.items[i] for i in every], data.card)
        examples = Examples(part, sampler.autoencoder, sampler.prompts, 1, Path(folder), sampler.device)
        found, start = {}, 0
        for name, indices in chosen.items():
            found[name] = round(loss_of(sampler.network, examples, np.arange(start, start + len(indices))), 3)
            start += len(indices)
        return {"losses_nats_a_token": found}
