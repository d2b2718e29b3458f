"""Figures of a music transformer: what held-out pieces cost it, how like them it composes, and what it copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from models.contract.composing import GENERATION, HARMONIZATION, MELODY
from models.contract.sampling import Request
from models.contract.values import Score
from models.data.items import Scores
from models.data.pictures import spread
from models.measure.effort import Effort
from models.measure.music import Runs, answered, of_scores, said_of
from models.music.known import named
from models.music.pieces import Pieces
from models.music.sample import MusicSampler, load
from models.music.spec import GenerationParams, HarmonizationParams
from models.music.train import held_out_nats
from models.parts.keys import KEYS, key_of

WRITTEN, BARS = 32, 12  # pieces, and how long
Form: TypeAlias = "tuple[str | None, str | None]"  # kind and metre


def evaluate(folder: Path, data: Scores, published: Path, effort: Effort) -> tuple[dict[str, Any], list[Score]]:
    """(figures, pieces)."""
    sampler = load(folder, torch.device("cpu"))
    pieces = Pieces(data, sampler.known, sampler.network.config.length)
    figures: dict[str, Any] = {}
    for split in data.held_out:
        if len(indices := pieces.indices(split)):
            figures[f"held_out_nats_{split}"] = round(held_out_nats(sampler.network, pieces, indices), 4)
    real = of_scores(data.score(i) for split in data.held_out for i in pieces.indices(split))
    learnt = Runs(of_scores(data.score(i) for i in pieces.indices("train")))
    forms = forms_of(data, pieces, sampler)
    count = effort.most(WRITTEN, lambda n: compose(sampler, forms, n))
    made = of_scores(compose(sampler, forms, count))
    figures["composed"] = said_of(made, real, learnt)
    figures["composed_freely"] = said_of(of_scores(compose(sampler, forms, count, free=True)), real, learnt)
    figures["in_the_key_asked"] = in_the_key_asked(sampler, count)
    figures["real"] = said_of(real[1::2], real[::2], learnt)
    if len(sampler.known.voices) > 1 and real:
        figures["harmonised"] = said_of(of_scores(harmonise(sampler, data, pieces)), real, learnt)
    return figures if effort.is_worth_it else {}, sampler.samples()


def forms_of(data: Scores, pieces: Pieces, sampler: MusicSampler) -> list[Form]:
    """Of as many held-out pieces as are written, so that both have reels in equal shares."""
    held_out = np.asarray([i for split in data.held_out for i in pieces.indices(split)], int)
    found = ((data.items[i].get("form"), named(data.score(i).metre)) for i in spread(held_out, WRITTEN))
    kinds, metres = sampler.known.kinds, sampler.known.metres
    return [(k if k in kinds else None, m if m in metres else None) for k, m in found] or [(None, None)]


def compose(sampler: MusicSampler, forms: list[Form], count: int, free: bool = False) -> list[Score]:
    asked = []
    for seed in range(count):
        kind, metre = forms[seed % len(forms)]
        asked.append(Request(GENERATION, GenerationParams(kind=kind, metre=metre, bars=BARS), seed))
    return answered(lambda batch: sampler.sample(batch, lambda *_: None, free), asked)


def in_the_key_asked(sampler: MusicSampler, count: int) -> float:
    """Of pieces in one key after another: the share that is heard in it."""
    keys = [KEYS[seed % len(KEYS)] for seed in range(count)]
    asked = [Request(GENERATION, GenerationParams(key=key, bars=BARS), seed) for seed, key in enumerate(keys)]
    made = of_scores(answered(lambda batch: sampler.sample(batch, lambda *_: None), asked))
    heard = [KEYS[key_of(note for line in voices for note in line)] for voices in made]
    return round(sum(a == b for a, b in zip(heard, keys, strict=True)) / max(1, count), 3)


def harmonise(sampler: MusicSampler, data: Scores, pieces: Pieces) -> list[Score]:
    """The melodies of held-out pieces."""
    asked = []
    for split in data.held_out:
        for i in pieces.indices(split)[:WRITTEN]:
            score = data.score(int(i))
            melody = [note for note in score.notes if note.part == 0]
            given = replace(score, notes=melody, parts=[])
            asked.append(Request(HARMONIZATION, HarmonizationParams(), int(i), {MELODY: [given]}))
    return answered(lambda batch: sampler.sample(batch, lambda *_: None), asked)
