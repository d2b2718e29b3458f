"""Trains the masked transformer: a share of each picture's tokens is hidden, and foreseen from the rest."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.autoencoders.load import load_autoencoder
from models.checkpoint import read_card, write_model
from models.contract.card import AUTOENCODER
from models.data.pictures import Collection, EpochOrder
from models.masked.network import MaskedTransformer
from models.masked.sample import MaskedSampler, requests
from models.masked.spec import MaskedTraining
from models.measure.prompted import watched_sheet
from models.parts.captions import tokenizer_for, watched_captions
from models.parts.prompt import drop_prompts
from models.parts.text import PromptEncoder
from models.training import parallel
from models.training.card import training_card
from models.training.ema import EMA
from models.training.fit import Metrics, fit, learn
from models.training.held_out import measure_splits
from models.training.optimizers import muon_and_adamw, split_parameters
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import pin_checkpoint
from models.training.state import Part
from models.transformer.train import Examples

MEASURED, MEASURED_SHARES = 384, (0.1, 0.4, 0.7)


def masked(images: Tensor, share: Tensor, vocabulary: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Image tokens (B, N) of which about `share` (B,) stays known -> (with masks, where the masks are)."""
    hidden = torch.rand(images.shape, generator=random).to(images.device) >= share[:, None]
    hidden[hidden.sum(1) == 0] = True
    return images.masked_fill(hidden, vocabulary), hidden


def train(params: MaskedTraining, data: Collection, run: Run) -> None:
    torch.manual_seed(run.seed)
    with parallel.first_alone():
        own = pin_checkpoint(params.autoencoder, run, Path("autoencoder") / params.autoencoder)
        autoencoder, _ = load_autoencoder(params.autoencoder, run.device, beside=own.parent)
        prompts = PromptEncoder(
            tokenizer_for(data, params.network.text_vocabulary, run.path / "tokenizer.json"),
            params.network.prompt_length,
        )
        examples = Examples(
            data,
            autoencoder,
            prompts,
            params.views,
            run.path / "cache",
            run.device,
            on_progress=lambda done: run.is_at_work("preparing", read=done),
        )
    network = MaskedTransformer(params.network).to(run.device)
    optimizers = muon_and_adamw(
        *split_parameters(network, "encoder.", "layers."),
        muon_lr=params.muon_learning_rate,
        adamw_lr=params.adamw_learning_rate,
        weight_decay=params.weight_decay,
    )
    ema = EMA(network, params.ema_decay)
    parts: dict[str, Part] = {"network": network, "ema": ema.average, "muon": optimizers[0], "adamw": optimizers[1]}
    order = EpochOrder(data.indices("train"), params.batch_size, run.seed)
    watched = params.watched or watched_captions(data)
    vocabulary = params.network.image_vocabulary

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            random = step_generator(run.seed, k)
            images, tokens, sentences = examples.batch(order.at(k), random)
            dropped = torch.rand(len(images), generator=random) < params.prompt_drop
            tokens, sentences = drop_prompts(tokens, sentences, dropped)
            share = 1 - torch.cos(torch.rand(len(images), generator=random) * math.pi / 2)
            given, hidden = masked(images, share, vocabulary, random)
            known = 1 - hidden.float().mean(1)
        factor = run.rate * warmup_stable_decay(k, run.progress(k), decay=0.3)
        set_learning_rate(optimizers, factor)

        def loss(rows: slice) -> Tensor:
            with mixed_precision(run.device):
                logits = network(given[rows], known[rows], tokens[rows], sentences[rows])
            wanted = images[rows][hidden[rows]]
            return F.cross_entropy(logits[hidden[rows]].float(), wanted, label_smoothing=0.05)

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss)

    def measure(done: int) -> None:
        sampler = MaskedSampler(ema.average, autoencoder, prompts)
        measure_splits(
            run,
            data,
            done,
            MEASURED,
            lambda indices: evaluate(ema.average, examples, indices, vocabulary),
            lambda: watched_sheet(sampler, requests, watched),
        )

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    card = training_card("masked-transformer", params, data.card, run, result, None)
    named = {"builds_on": [{"role": AUTOENCODER, "name": params.autoencoder, "sha256": read_card(own)["sha256"]}]}
    write_model(run.folder.model, ema.average, {**card, **named}, {"tokenizer.json": prompts.tokenizer.to_str()})


@torch.no_grad()
def evaluate(network: MaskedTransformer, examples: Examples, indices: npt.NDArray[np.int64], vocabulary: int) -> float:
    """Mean cross-entropy in nats a hidden token, at MEASURED_SHARES known."""
    total = 0.0
    for start in range(0, len(indices), 128):
        chosen = indices[start : start + 128]
        random = step_generator(0, start)
        _, tokens, sentences = examples.batch(chosen, random)
        images = torch.from_numpy(examples.images[chosen, 0].astype(np.int64))
        for share in MEASURED_SHARES:
            given, hidden = masked(images, torch.full((len(images),), share), vocabulary, random)
            logits = network(given, 1 - hidden.float().mean(1), tokens, sentences)
            total += float(F.cross_entropy(logits[hidden], images[hidden])) * len(chosen)
    return total / len(indices) / len(MEASURED_SHARES)
