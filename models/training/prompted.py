"""Trains networks that a prompt conditions: tokenizer, optimizers, average, loop, held-out figures, checkpoint.

What a batch holds, and what a network loses on it, is the family's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from models.checkpoint import write_model
from models.contract.sampling import Sampler
from models.contract.training_spec import PromptedTraining
from models.data.pictures import Collection, EpochOrder, Indices
from models.measure.prompted import Requests, watched_sheet
from models.parts.captions import texts_of, watched_captions
from models.parts.prompt import PromptReader
from models.parts.text import PromptEncoder
from models.training.averaged import averaged
from models.training.card import training_card
from models.training.fit import Metrics, fit, learn
from models.training.held_out import measure_splits
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay

Network = TypeVar("Network", bound=PromptReader)


def train_prompted(
    params: PromptedTraining,
    data: Collection,
    run: Run,
    network: Network,
    *,
    layers: str,
    decay: float,
    batch: Callable[[Indices, torch.Generator], Sequence[Tensor | None]],
    loss: Callable[..., Tensor],
    held_out: tuple[int, Callable[[Network, Indices], float]],
    sampler: Callable[[Network], Sampler],
    requests: Requests,
) -> tuple[Network, tuple[int, dict[str, float]]]:
    """Train until the run is over; returns the averaged network and the run's result.

    Muon has the matrices of `layers` and of the prompt's encoder, AdamW the rest; learning rates fall over the last
    `decay` of the run. `batch(indices, generator)` draws all that a step has of chance, None for what it has not, and
    `loss(*batch)` is the mean over some of its rows. `held_out` is (items of a split at most, their loss).
    """
    optimizers, ema, parts = averaged(network, params, "encoder.", layers)
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    watched = params.watched or watched_captions(data)
    if run.is_first:
        run.folder.watch(watched)
    most, held_out_loss = held_out

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            drawn = batch(order.at(k), step_generator(run.seed, k))
        factor = run.rate * warmup_stable_decay(k, run.progress(k), decay=decay)
        set_learning_rate(optimizers, factor)

        def loss_of(rows: slice) -> Tensor:
            given = [None if tensor is None else tensor[rows].to(run.device) for tensor in drawn]
            with mixed_precision(run.device):
                return loss(*given)

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss_of)

    def measure(done: int) -> None:
        measure_splits(
            run,
            data,
            done,
            most,
            lambda indices: held_out_loss(ema.average, indices),
            lambda: watched_sheet(sampler(ema.average), requests, watched),
        )

    done = fit(run, step, parts, measure)
    return ema.average, run.result(done, ema.average)


def write_prompted(
    family: str,
    network: PromptReader,
    prompts: PromptEncoder,
    params: Any,
    data: Collection,
    run: Run,
    result: tuple[int, dict[str, float]],
    before: Path | None,
    more: dict[str, Any],
) -> None:
    """The run's model, with what its prompts are read by; `more` is of its card. One process of several writes it."""
    if run.is_first:
        card = training_card(family, params, data.card, run, result, before)
        write_model(run.folder.model, network, {**card, **more}, texts_of(prompts))
