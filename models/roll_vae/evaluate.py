"""Figures of a VAE of music: its bound on held-out pieces, what it repeats, and how like music its pieces are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.contract.composing import GENERATION, RollGenerationParams
from models.contract.sampling import Request
from models.contract.values import Score
from models.data.items import Scores
from models.data.pictures import spread
from models.measure.effort import Effort
from models.measure.music import Runs, answered, of_scores, said_of
from models.parts.rolls import Rolls, score_of
from models.roll_vae.network import RollVAE
from models.roll_vae.sample import RollSampler, load
from models.roll_vae.train import SHOWN, held_out_bound

WRITTEN = 32  # pieces


def evaluate(folder: Path, data: Scores, published: Path, effort: Effort) -> tuple[dict[str, Any], list[Score]]:
    """(figures, held-out pieces and after each what comes of it)."""
    sampler = load(folder, torch.device("cpu"))
    rolls = Rolls(data, sampler.network.config.bars, sampler.network.config.voices)
    windows = torch.from_numpy(np.stack(rolls.windows))
    figures: dict[str, Any] = {}
    for split in data.held_out:
        if len(indices := rolls.indices(split)):
            figures[f"held_out_nats_{split}"] = round(held_out_bound(sampler.network, windows, indices), 4)
            figures[f"repeated_{split}"] = round(repeated(sampler.network, windows[spread(indices, WRITTEN)]), 4)
    held_out = rolls.indices(*data.held_out or ["train"])
    real = of_scores(score_of(rolls.windows[int(i)], 0, 120, sampler.parts) for i in spread(held_out, 4 * WRITTEN))
    learnt = Runs(of_scores(data.score(i) for i in {rolls.pieces[int(i)] for i in rolls.indices("train")}))
    made = of_scores(compose(sampler, effort.most(WRITTEN, lambda count: compose(sampler, count))))
    figures["composed"] = said_of(made, real, learnt)
    figures["real"] = said_of(real[1::2], real[::2], learnt)
    samples = sampler.samples([rolls.windows[int(i)] for i in spread(held_out, SHOWN)])
    return figures if effort.is_worth_it else {}, samples


def compose(sampler: RollSampler, count: int) -> list[Score]:
    asked = [Request(GENERATION, RollGenerationParams(), seed) for seed in range(count)]
    return answered(lambda batch: sampler.sample(batch, lambda *_: None), asked)


@torch.no_grad()
def repeated(network: RollVAE, windows: torch.Tensor) -> float:
    """Share of tokens that are the likeliest after the true ones before them and the latents of the whole."""
    mean, _ = network.encode(windows)
    likeliest = network.decode(mean, windows).argmax(-1)
    return float((likeliest == windows.flatten(2)).float().mean())
