"""Trains the music transformer by teacher forcing: every note from the true ones before it, and from those given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.checkpoint import read_card, read_text, write_model
from models.data.items import Scores
from models.data.order import ByLength
from models.data.pictures import Indices, spread
from models.music.known import KNOWN, Known
from models.music.network import VOICE, Batch, MusicTransformer
from models.music.pieces import Pieces, batch
from models.music.sample import MusicSampler
from models.music.spec import MusicTraining
from models.parts.keys import KEYS
from models.training.averaged import averaged
from models.training.card import training_card
from models.training.fit import Metrics, fit, learn
from models.training.run import Run
from models.training.schedule import mixed_precision, seed_dropout, set_learning_rate, warmup_stable_decay
from models.training.start import load_start_weights, start_checkpoint

MEASURED, PIECE = 128, 16  # held-out pieces, and how many at once


def train(params: MusicTraining, data: Scores, run: Run) -> None:
    """Train on the collection's `train` pieces until the run is over; writes its `model`. Resumes by itself.

    Raises Unsuitable where the collection has no pieces that can be written in voices.
    """
    torch.manual_seed(run.seed)
    before = start_checkpoint(params.start_from, run)
    known = Known.read(read_text(before, KNOWN, read_card(before))) if before else None
    pieces = Pieces(data, known, params.network.length)
    fit_to(params, pieces.known)
    network = MusicTransformer(params.network, params.dropout, params.note_dropout).to(run.device)
    load_start_weights(network, before)
    optimizers, ema, parts = averaged(network, params, "encoder.", "decoder.")
    order = ByLength(pieces.lengths, pieces.indices("train"), params.batch_size, run.seed)

    def step(k: int) -> tuple[int, Metrics]:
        with run.log.spend("data"):
            drawn = batch(pieces, order.at(k), np.random.default_rng((run.seed, k)))
        factor = run.rate * warmup_stable_decay(k, run.progress(k))
        set_learning_rate(optimizers, factor)
        seed_dropout(run.seed, k)

        def loss_of(rows: slice) -> Tensor:
            with mixed_precision(run.device):
                return nats(network, drawn.rows(rows, run.device))

        return learn(run, k, network, optimizers, ema, order, factor * params.muon_learning_rate, loss_of)

    def measure(done: int) -> None:
        found = {split: held_out_nats(ema.average, pieces, pieces.indices(split)) for split in data.held_out}
        run.log.write(done, **{f"held_out_nats_{split}": figure for split, figure in found.items()})
        if found:
            run.report_metric(done, sum(found.values()) / len(found))
        if run.is_first:
            run.folder.keep_samples(done, MusicSampler(ema.average, pieces.known).samples())

    done = fit(run, step, parts, measure)
    result = run.result(done, ema.average)
    if run.is_first:
        card = training_card("music-transformer", params, data.card, run, result, before)
        write_model(run.folder.model, ema.average, {**card, **said_of(pieces.known)}, {KNOWN: str(pieces.known)})


def fit_to(params: MusicTraining, known: Known) -> None:
    """The shape that the collection asks for."""
    network = params.network
    network.voices, network.durations = known.lines, len(known.durations)
    network.metres, network.kinds = len(known.metres), len(known.kinds)
    network.phrases = bool(known.plans)


def said_of(known: Known) -> dict[str, Any]:
    """What the form offers to choose from."""
    return {"voices": known.voices, "metres": known.metres, "kinds": known.kinds, "keys": KEYS}


def nats(network: MusicTransformer, pieces: Batch) -> Tensor:
    """Mean over the notes that are not given: of pitch and duration together."""
    x = network(pieces)
    asked = pieces.real & ~pieces.given
    x, pitch, duration = x[asked], pieces.pitch[asked], pieces.duration[asked]
    if not len(pitch):  # all of a small piece was given
        return (0 * x.sum()).float()
    loss = F.cross_entropy(network.pitch_logits(x).float(), pitch)
    return loss + F.cross_entropy(network.duration_logits(x, pitch).float(), duration)


@torch.no_grad()
def held_out_nats(network: MusicTransformer, pieces: Pieces, indices: Indices, most: int = MEASURED) -> float:
    """Nats a note of at most so many pieces, the same given of each every time; chords cost too and count for none."""
    total, count = 0.0, 0
    chosen = spread(indices, most)
    device = network.norm.weight.device
    for start in range(0, len(chosen), PIECE):
        found = batch(pieces, chosen[start : start + PIECE], np.random.default_rng((0, start)), moved=False)
        asked = found.real & ~found.given
        with mixed_precision(device):
            total += int(asked.sum()) * float(nats(network, found.rows(slice(None), device)))
        count += int((asked & sung(found, pieces.known)).sum())
    return total / max(1, count)


def sung(found: Batch, known: Known) -> Tensor:
    """(B, N): which are notes of voices, not chords."""
    return found.slots[..., VOICE] < len(known.voices)
