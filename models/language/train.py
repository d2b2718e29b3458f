"""Trains the language model by teacher forcing on windows of its texts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from models.checkpoint import read_card, read_text, write_model
from models.data.items import Texts
from models.language.network import LanguageModel
from models.language.sample import LanguageSampler
from models.language.spec import LanguageTraining
from models.language.tokens import TOKENIZER, Lines, pieces_of, text_of, tokenizer_for
from models.parts.copies import COPIES, Copies
from models.training.averaged import averaged
from models.training.card import training_card
from models.training.fit import Metrics, fit, learn
from models.training.run import Run
from models.training.schedule import (
    mixed_precision,
    seed_dropout,
    set_learning_rate,
    step_generator,
    warmup_stable_decay,
)
from models.training.start import load_start_weights, start_checkpoint

MEASURED, PIECE = 128, 16  # held-out windows, and how many at once


class Anywhere:
    """Windows come from anywhere: an epoch is as many as would cover the texts once."""

    def __init__(self, lines: Lines, batch: int) -> None:
        self.batch, self.indices = batch, np.arange(max(1, len(lines.tokens) // lines.length))


def train(params: LanguageTraining, data: Texts, run: Run) -> None:
    """Train on the collection's `train` texts until the run is over; writes its `model`. Resumes by itself."""
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    tokenizer = tokenizer_of(params, data, run, before)
    params.network.vocabulary = tokenizer.get_vocab_size()
    network = LanguageModel(params.network, params.dropout).to(run.device)
    load_start_weights(network, before)
    optimizers, ema, parts = averaged(network, params, "decoder.layers.")
    lines = {
        split: Lines(data, split, params.kind, tokenizer, run.path / "cache", params.network.length)
        for split in ("train", *data.held_out)
    }
    order = Anywhere(lines["train"], params.batch_size)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            windows = lines["train"].any(params.batch_size, step_generator(run.seed, k))
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate(optimizers, factor)
        seed_dropout(run.seed, k)

        def loss_of(rows: slice) -> Tensor:
            with mixed_precision(run.device):
                return nats(network, windows[rows].to(run.device))

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss_of)

    def measure(done: int) -> None:
        found = {split: bits_a_character(ema.average, lines[split]) for split in data.held_out}
        run.log.write(done, **{f"held_out_bits_{split}": figure for split, figure in found.items()})
        if found:
            run.report_metric(done, sum(found.values()) / len(found))
        if run.is_first:
            run.folder.keep_samples(done, LanguageSampler(ema.average, tokenizer, params.kind).sheet())

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card("language-model", params, data.card, run, result, before)
        learnt = (text_of(data.items[int(i)], params.kind) for i in data.indices("train"))
        copies = Copies.of(piece for text in learnt for piece in pieces_of(text))
        files: dict[str, str | bytes] = {TOKENIZER: tokenizer.to_str(), COPIES: copies.packed()}
        write_model(run.folder.model, ema.average, {**card, **known(params)}, files)


def tokenizer_of(params: LanguageTraining, data: Texts, run: Run, before: Path | None) -> Tokenizer:
    """That of the checkpoint before, or one of this collection."""
    if before is not None:
        return Tokenizer.from_str(read_text(before, TOKENIZER, read_card(before)))
    return tokenizer_for(data, params.kind, params.network.vocabulary, run.path / TOKENIZER)


def known(params: LanguageTraining) -> dict[str, Any]:
    return {"kind": params.kind}


def nats(network: LanguageModel, windows: Tensor) -> Tensor:
    """Mean of all tokens of windows (B, N + 1) but the first."""
    x = network(windows[:, :-1])
    return F.cross_entropy(network.logits(x).flatten(0, 1).float(), windows[:, 1:].flatten())


@torch.no_grad()
def bits_a_character(network: LanguageModel, lines: Lines, most: int = MEASURED) -> float:
    """What a character of the texts costs, whatever the tokens: in bits."""
    starts, total = lines.every(most), 0.0
    device = network.embedding.weight.device
    for part in np.array_split(starts, math.ceil(len(starts) / PIECE)):
        with mixed_precision(device):
            total += len(part) * float(nats(network, lines.windows(part).to(device)))
    return total / len(starts) * len(lines.tokens) / lines.characters / math.log(2)
