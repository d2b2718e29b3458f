"""The music transformer beside an LSTM of equal size and a Markov chain: nats a note of held-out chorales.

All see the same notes in the same order, nothing is given. The networks are told what ours is before a note, of phrases
too, and write the chords beside it. The LSTM trains for as many minutes as ours. MINUTES says how many (4), DATASETS
where the prepared collections are.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from benchmarks.peers.race import DATASETS, MINUTES, train_ours
from benchmarks.threads import all_cores
from models.data.items import Scores, open_items
from models.data.order import ByLength
from models.data.pictures import Indices
from models.music.network import BEAT, PLACE, SOUNDING, VOICE, Batch, MusicTransformer
from models.music.pieces import Pieces, batch
from models.music.sample import load
from models.music.spec import MusicConfig
from models.music.train import PIECE, nats, sung
from models.training.schedule import mixed_precision

BATCH, DROPOUT, RATE = 16, 0.25, 2e-3


class MusicLSTM(nn.Module):
    """Reads and writes as the transformer does; a recurrent network stands in place of its layers."""

    def __init__(self, config: MusicConfig, width: int, layers: int) -> None:
        super().__init__()
        self.around = MusicTransformer(config.model_copy(update={"layers": 1, "encoder_layers": 1}))
        self.around.encoder, self.around.decoder = nn.ModuleList(), nn.ModuleList()
        self.lstm = nn.LSTM(config.width, width, layers, batch_first=True, dropout=DROPOUT)
        self.out = nn.Linear(width, config.width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, pieces: Batch) -> Tensor:
        net = self.around
        before = net.note(pieces.pitch[:, :-1], pieces.duration[:, :-1])
        begin = net.role[1].expand(before.size(0), 1, -1)
        x = torch.cat([begin, before], 1) + net.slot(pieces.slots, pieces.conditions)
        made, _ = self.lstm(self.dropout(x))
        found: Tensor = net.norm(self.out(self.dropout(made)))
        return found

    def pitch_logits(self, x: Tensor) -> Tensor:
        return self.around.pitch_logits(x)

    def duration_logits(self, x: Tensor, pitch: Tensor) -> Tensor:
        return self.around.duration_logits(x, pitch)


class Chain:
    """p(value | context), of the longest contexts mixed with the shorter ones. Witten & Bell, 1991."""

    def __init__(self, values: int, pairs: Iterable[tuple[Sequence[Hashable], int]]) -> None:
        self.values = values
        self.counts: dict[tuple[Hashable, ...], Counter[int]] = defaultdict(Counter)
        for context, value in pairs:
            for order in range(len(context) + 1):
                self.counts[tuple(context[:order])][value] += 1

    def nats(self, context: Sequence[Hashable], value: int) -> float:
        share = 1 / self.values
        for order in range(len(context) + 1):
            found = self.counts.get(tuple(context[:order]))
            if found is None:
                break
            kinds, total = len(found), found.total()
            share = (found[value] + kinds * share) / (total + kinds)
        return -math.log(share)


def composing(table: Table) -> None:
    with all_cores():
        race(table)


def race(table: Table) -> None:
    data = open_items(DATASETS / "chorales")
    assert isinstance(data, Scores)
    with tempfile.TemporaryDirectory() as temporary:
        options = {"dropout": DROPOUT}
        model, said = train_ours(Path(temporary) / "ours", "music-transformer", "chorales", MINUTES, BATCH, **options)
        sampler = load(model, torch.device("cpu"))
        config = sampler.network.config
        pieces = Pieces(data, sampler.known, config.length)
        held_out = pieces.indices(data.held_out[0])
        ours = unaided_nats(sampler.network, pieces, held_out)
    lstm, weights = train_lstm(config, pieces, said["parameters"])
    theirs = unaided_nats(lstm, pieces, held_out)
    title = f"composing: nats a note of held-out chorales after {MINUTES:g} min"
    sizes = f"({said['parameters'] / 1e6:.2f} M and {weights / 1e6:.2f} M weights)"
    table.add_row(title, f"{ours:.3f}; an LSTM {theirs:.3f} {sizes}", "lower")
    table.add_row("composing: nats a note of a Markov chain of order two", f"{markov_nats(pieces, held_out):.3f}", "")


@torch.no_grad()
def unaided_nats(network: MusicTransformer | MusicLSTM, pieces: Pieces, indices: Indices) -> float:
    """A note of pieces of which nothing is given; chords cost too and count for none."""
    total, count = 0.0, 0
    for start in range(0, len(indices), PIECE):
        drawn = nothing_given(batch(pieces, indices[start : start + PIECE], np.random.default_rng(start), moved=False))
        with mixed_precision(torch.device("cpu")):
            total += int(drawn.real.sum()) * float(nats(network, drawn))  # type: ignore[arg-type]
        count += int((drawn.real & sung(drawn, pieces.known)).sum())
    return total / count


def nothing_given(drawn: Batch) -> Batch:
    drawn.given[:] = False
    return drawn


def train_lstm(config: MusicConfig, pieces: Pieces, weights: int) -> tuple[MusicLSTM, int]:
    """(two layers, as wide as gives so many weights, trained with AdamW; how many it has)."""
    torch.manual_seed(0)
    width = 64
    while sum(p.numel() for p in MusicLSTM(config, width + 16, 2).parameters()) <= weights:
        width += 16
    network = MusicLSTM(config, width, 2).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    order = ByLength(pieces.lengths, pieces.indices("train"), BATCH, 0)
    began, k = time.perf_counter(), 0
    while (share := (time.perf_counter() - began) / (60 * MINUTES)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (k + 1) / 50, (1 - share) / 0.3)
        drawn = nothing_given(batch(pieces, order.at(k), np.random.default_rng((0, k))))
        with mixed_precision(torch.device("cpu")):
            loss = nats(network, drawn)  # type: ignore[arg-type]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        k += 1
    return network.eval(), sum(p.numel() for p in network.parameters())


def markov_nats(pieces: Pieces, held_out: Indices) -> float:
    """The pitch after the two before it in its voice, the duration after the one before and its place in the bar."""
    voices = len(pieces.known.voices)

    def pairs(indices: Indices) -> Iterable[tuple[tuple[Sequence[Hashable], int], tuple[Sequence[Hashable], int]]]:
        for start in range(0, len(indices), PIECE):
            drawn = batch(pieces, indices[start : start + PIECE], np.random.default_rng(start), moved=False)
            for row in range(len(drawn.pitch)):
                last: list[list[int]] = [[-1, -1, -1] for _ in range(voices)]
                for n in range(int(drawn.real[row].sum())):
                    slot = drawn.slots[row, n, :SOUNDING].tolist()
                    voice, pitch, duration = slot[VOICE], int(drawn.pitch[row, n]), int(drawn.duration[row, n])
                    if voice == voices:  # a chord, which it does not need
                        continue
                    before, earlier, length = last[voice]
                    yield (
                        ((voice, before, earlier), pitch),
                        ((voice, slot[PLACE], slot[BEAT], length), duration),
                    )
                    last[voice] = [pitch, before, duration]

    learnt = list(pairs(pieces.indices("train")))
    pitches = Chain(128, (pair for pair, _ in learnt))
    durations = Chain(len(pieces.known.durations), (pair for _, pair in learnt))
    costs = [pitches.nats(*a) + durations.nats(*b) for a, b in pairs(held_out)]
    return float(np.mean(costs))
