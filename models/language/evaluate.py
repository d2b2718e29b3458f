"""Figures of a language model: what held-out texts cost it, and what it copies of those that it learnt."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.contract.sampling import Request
from models.contract.values import Text
from models.contract.writing import TEXT_GENERATION, WritingParams
from models.data.items import Texts
from models.language.sample import load
from models.language.spec import ContinuationParams, DramaParams
from models.language.tokens import Lines, text_of
from models.language.train import bits_a_character
from models.measure.effort import Effort

WRITTEN, TOGETHER, LENGTH = 32, 16, 300  # texts, how many at once, and tokens of each


def evaluate(folder: Path, data: Texts, published: Path, effort: Effort) -> tuple[dict[str, Any], str]:
    """(figures, texts to read)."""
    sampler = load(folder, torch.device("cpu"))
    figures: dict[str, Any] = {}
    for split in data.held_out:
        with tempfile.TemporaryDirectory() as place:
            lines = Lines(data, split, sampler.kind, sampler.tokenizer, Path(place), sampler.network.config.length)
            figures[f"held_out_bits_{split}"] = round(bits_a_character(sampler.network, lines), 4)
    learnt = "\n".join(text_of(item, sampler.kind) for item in data.items if item["split"] == "train")
    params: WritingParams = DramaParams(speeches=6) if sampler.kind == "drama" else ContinuationParams(tokens=LENGTH)
    count = effort.most(WRITTEN, lambda n: sampler.sample([Request(TEXT_GENERATION, params, 0)] * n, lambda *_: None))
    runs = []
    for start in range(0, count, TOGETHER):
        batch = [Request(TEXT_GENERATION, params, seed) for seed in range(start, min(count, start + TOGETHER))]
        for output in sampler.sample(batch, lambda *_: None):
            assert isinstance(output.value, Text)
            runs.append(longest_run(output.value.text, learnt))
    figures["longest_copied_run"] = {"median": float(np.median(runs)), "most": max(runs)}
    return figures if effort.is_worth_it else {}, sampler.sheet()


def longest_run(text: str, learnt: str) -> int:
    """Characters of the longest part of a text that stands in what was learnt."""
    best, start = 0, 0
    while start + best < len(text):
        if text[start : start + best + 1] in learnt:
            best += 1
        else:
            start += 1
    return best
