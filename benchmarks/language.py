"""Our language model beside GPT-2 of the package transformers, of equal size, with the same threads and number type.

MINUTES says how long each trains (4), DATASETS where the prepared collections are (data/datasets).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from tokenizers import Tokenizer

from benchmarks.peers.environment import python
from benchmarks.peers.race import DATASETS, MINUTES, ratio, train_ours
from benchmarks.threads import all_cores
from models.contract.sampling import Request
from models.contract.values import Text
from models.contract.writing import TEXT_GENERATION
from models.data.items import Texts, open_items
from models.language.network import LanguageModel
from models.language.sample import LanguageSampler, load
from models.language.spec import ContinuationParams, LanguageConfig
from models.language.tokens import Lines, train_tokenizer
from models.language.train import MEASURED, bits_a_character
from models.training.schedule import has_fast_bfloat16

BATCHES, TOKENS, ROUNDS = (1, 16), 200, 5
WINDOWS, DROPOUT = 16, 0.1  # of training
Found = dict[str, Any]


def gpt2(*arguments: str) -> Found:
    script = str(Path(__file__).parent / "peers" / "gpt2.py")
    threads = ["--threads", str(os.cpu_count() or 1)]
    done = subprocess.run([str(python()), script, *arguments, *threads], check=True, stdout=subprocess.PIPE, text=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def language(table: Table) -> None:
    with all_cores():
        decoding(table)
        training(table)


def decoding(table: Table) -> None:
    """Tokens a second, sampled from the likeliest; the best of some rounds before and after the rival's."""
    shape = LanguageConfig()
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["To be, or not to be, that is the question."], shape.vocabulary)
    sampler = LanguageSampler(LanguageModel(shape).eval(), tokenizer, "plain")
    before = {batch: tokens_a_second(sampler, batch) for batch in BATCHES}
    theirs = gpt2("decode", shape.model_dump_json(), "--tokens", str(TOKENS), "--batch", *map(str, BATCHES))
    for batch in BATCHES:
        ours = max(before[batch], tokens_a_second(sampler, batch))
        for way, found in theirs.items():
            title = f"writing, batch {batch}: tokens/s over GPT-2's with a static cache, {way}"
            rates = f"{ours:.0f} against {found[str(batch)]:.0f}"
            table.add_row(title, f"{ratio(ours, found[str(batch)])} ({rates})", "at least 1.5")


def tokens_a_second(sampler: LanguageSampler, batch: int) -> float:
    rates = []
    for turn in range(ROUNDS + 1):
        params = ContinuationParams(tokens=TOKENS, temperature=0.9, top_p=0.95)
        asked = [Request(TEXT_GENERATION, params, 100 * turn + i) for i in range(batch)]
        steps = [0]

        def count(done: int, total: int, previews: object, steps: list[int] = steps) -> None:
            steps[0] += 1

        began = time.perf_counter()
        made = sampler.sample(asked, count)
        rates.append(batch * steps[0] / (time.perf_counter() - began))
        assert all(isinstance(output.value, Text) for output in made)
    return max(rates[1:])


def training(table: Table) -> None:
    """Bits a character of held-out plays after equal minutes, with the same tokens, windows and batch."""
    data = open_items(DATASETS / "plays")
    assert isinstance(data, Texts)
    shape = LanguageConfig()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        parameters = {"kind": "drama", "dropout": DROPOUT, "network": shape.model_dump()}
        model, said = train_ours(place / "ours", "language-model", "plays", MINUTES, WINDOWS, **parameters)
        sampler = load(model, torch.device("cpu"))
        lines = {split: cut(data, split, sampler.tokenizer, place, shape.length) for split in ("train", *data.held_out)}
        held_out = lines[data.held_out[0]]
        np.save(place / "train.npy", lines["train"].tokens)
        np.save(place / "held_out.npy", held_out.windows(held_out.every(MEASURED)).numpy())
        seconds, batch = str(60 * MINUTES), str(WINDOWS)
        options = ["--place", str(place), "--seconds", seconds, "--batch", batch, "--dropout", str(DROPOUT)]
        options += ["--bfloat16"] * has_fast_bfloat16(torch.device("cpu"))
        theirs = gpt2("train", sampler.network.config.model_dump_json(), *options)
        ours = bits_a_character(sampler.network, held_out)
    rate = said["images_per_second"] * shape.length
    bits = theirs["nats"] * len(held_out.tokens) / held_out.characters / math.log(2)
    sizes = f"{said['parameters'] / 1e6:.2f} M against {theirs['parameters'] / 1e6:.2f} M weights"
    table.add_row(f"learning: tokens/s over GPT-2's ({sizes})", ratio(rate, theirs["tokens_per_second"]), "ahead")
    title = f"learning: bits a character of held-out plays after {MINUTES:g} min"
    table.add_row(title, f"{ours:.3f} against {bits:.3f}", "lower")


def cut(data: Texts, split: str, tokenizer: Tokenizer, place: Path, length: int) -> Lines:
    return Lines(data, split, "drama", tokenizer, place / "lines", length)
