"""Figures of a GAN of music: how like music its pieces are, how many kinds of it they cover, and what they copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.contract.composing import GENERATION, DirectedParams
from models.contract.sampling import Request
from models.contract.values import Score
from models.data.items import Scores
from models.data.pictures import spread
from models.measure.effort import Effort
from models.measure.metrics import coverage, nearest
from models.measure.music import Runs, answered, of_scores, said_of
from models.parts.rolls import Roll, Rolls, given_roll, score_of
from models.roll_gan.network import one_hot
from models.roll_gan.sample import RollGANSampler, load

WRITTEN = 128  # pieces


def evaluate(folder: Path, data: Scores, published: Path, effort: Effort) -> tuple[dict[str, Any], list[Score]]:
    """(figures, pieces)."""
    sampler = load(folder, torch.device("cpu"))
    rolls = Rolls(data, sampler.bars, len(sampler.parts))
    held_out = rolls.indices(*data.held_out or ["train"])
    train = [rolls.windows[int(i)] for i in rolls.indices("train")]
    real = [rolls.windows[int(i)] for i in spread(held_out, WRITTEN)]
    made = [given_roll(score, sampler.bars, len(sampler.parts))[0] for score in compose(sampler, WRITTEN)]
    figures: dict[str, Any] = {}
    learnt = Runs(of_scores(data.score(i) for i in {rolls.pieces[int(i)] for i in rolls.indices("train")}))
    figures["composed"] = said_of(music(made, sampler), music(real, sampler), learnt)
    figures["real"] = said_of(music(real[1::2], sampler), music(real[::2], sampler), learnt)
    ours, theirs, known = unit(made), unit(real), unit(train)
    figures["composed"] |= {**coverage(ours, theirs), "nearest_training": apart(ours, known)}
    figures["real"] |= {**coverage(theirs[1::2], theirs[::2]), "nearest_training": apart(theirs, known)}
    return figures if effort.is_worth_it else {}, sampler.samples()


def compose(sampler: RollGANSampler, count: int) -> list[Score]:
    asked = [Request(GENERATION, DirectedParams(variety=1), seed) for seed in range(count)]
    return answered(lambda batch: sampler.sample(batch, lambda *_: None), asked)


def music(rolls: list[Roll], sampler: RollGANSampler) -> list[Any]:
    return of_scores(score_of(roll, 0, 120, sampler.parts) for roll in rolls)


def unit(rolls: list[Roll]) -> npt.NDArray[np.float32]:
    """(N, D) of unit length: what each voice does at each step; one less the cosine is the share that differs."""
    flat = one_hot(torch.from_numpy(np.stack(rolls))).flatten(1).numpy()
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), dtype=np.float32)


def apart(queries: npt.NDArray[np.float32], known: npt.NDArray[np.float32]) -> float:
    """Median share of steps in which a piece differs from the nearest of these."""
    return round(float(np.median(nearest(queries, known))), 4)
