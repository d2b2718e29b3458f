"""Trains the verse transformer by teacher forcing: every character from the true ones before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.checkpoint import read_card, read_text, write_model
from models.data.items import Texts
from models.data.order import ByLength
from models.data.pictures import Indices, spread
from models.parts.copies import COPIES, Copies
from models.training.averaged import averaged
from models.training.card import training_card
from models.training.fit import Metrics, fit, learn
from models.training.run import Run
from models.training.schedule import mixed_precision, set_learning_rate, step_generator, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint
from models.verse.learnt import FORMS, RHYMES, VOCABULARY, Poems, Tables, batch, written
from models.verse.network import VerseTransformer
from models.verse.poem import pieces_of
from models.verse.rhymes import Rhymes
from models.verse.sample import VerseSampler
from models.verse.spec import VerseTraining
from models.verse.vocabulary import Vocabulary

MEASURED, PIECE = 1024, 128  # held-out poems, and how many at once


def train(params: VerseTraining, data: Texts, run: Run) -> None:
    """Train on the collection's `train` poems until the run is over; writes its `model`. Resumes by itself.

    Raises Unsuitable where the collection has no poems of a known form.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    poems = poems_of(params, data, before)
    params.network.vocabulary = len(poems.vocabulary)
    network = VerseTransformer(params.network).to(run.device)
    load_start_weights(network, before)
    optimizers, ema, parts = averaged(network, params, "decoder.layers.")
    order = ByLength(poems.lengths, poems.indices("train"), params.batch_size, run.seed)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            drawn = batch(poems, order.at(k), step_generator(run.seed, k))
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate(optimizers, factor)

        def loss_of(rows: slice) -> Tensor:
            tokens, slots, targets = (tensor[rows].to(run.device) for tensor in drawn)
            with mixed_precision(run.device):
                return nats(network, tokens, slots, targets)

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss_of)

    def measure(done: int) -> None:
        found = {split: held_out_nats(ema.average, poems, poems.indices(split)) for split in data.held_out}
        run.log.write(done, **{f"held_out_nats_{split}": figure for split, figure in found.items()})
        if found:
            run.report_metric(done, sum(found.values()) / len(found))
        if run.is_first:
            run.folder.keep_samples(done, VerseSampler(ema.average, poems.vocabulary, poems.tables).sheet())

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card("verse-transformer", params, data.card, run, result, before)
        copies = Copies.of(piece for i in data.indices("train") for piece in pieces_of(data.items[int(i)]["text"]))
        files: dict[str, str | bytes] = {**texts_of(poems), COPIES: copies.packed()}
        write_model(run.folder.model, ema.average, {**card, **known(poems)}, files)


def poems_of(params: VerseTraining, data: Texts, before: Path | None) -> Poems:
    """With the vocabulary of the checkpoint before, if there is one."""
    rhymes = Rhymes.read(data.file(RHYMES))
    if before is None:
        return Poems(data, Tables.learnt(data, rhymes), params.rarest, None, params.network.vocabulary)
    card = read_card(before)
    vocabulary = Vocabulary.read(read_text(before, VOCABULARY, card))
    tables = Tables.read(read_text(before, FORMS, card), str(rhymes))
    return Poems(data, tables, params.rarest, vocabulary, params.network.vocabulary)


def known(poems: Poems) -> dict[str, list[str]]:
    """What the form offers to choose from."""
    return {"forms": poems.vocabulary.forms, "rhymes": list(poems.tables.pingshui.level_groups)}


def texts_of(poems: Poems) -> dict[str, str]:
    """The files by which a checkpoint's sampler knows what it writes."""
    forms = [poems.tables.forms[title] for title in poems.vocabulary.forms]
    rhymes = poems.tables.pingshui.within(poems.vocabulary.characters)
    return {VOCABULARY: str(poems.vocabulary), FORMS: written(forms), RHYMES: str(rhymes)}


def nats(network: VerseTransformer, tokens: Tensor, slots: Tensor, targets: Tensor) -> Tensor:
    """Mean of the characters that have a target."""
    x = network(tokens[:, :-1], slots)
    asked = targets >= 0
    return F.cross_entropy(network.logits(x[asked]).float(), targets[asked])


@torch.no_grad()
def held_out_nats(network: VerseTransformer, poems: Poems, indices: Indices, most: int = MEASURED) -> float:
    """Nats a character of at most so many poems, the same things said of each every time."""
    total, count = 0.0, 0
    chosen = spread(indices, most)
    device = network.embedding.weight.device
    for start in range(0, len(chosen), PIECE):
        tokens, slots, targets = batch(poems, np.asarray(chosen[start : start + PIECE]), step_generator(0, start))
        number = int((targets >= 0).sum())
        with mixed_precision(device):
            total += number * float(nats(network, tokens.to(device), slots.to(device), targets.to(device)))
        count += number
    return total / max(1, count)
