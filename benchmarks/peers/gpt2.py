"""GPT-2 of the package transformers, which writes or is trained: `python gpt2.py decode|train SHAPE.json ...`.

Runs in the peers' environment and imports nothing of ours. On the last line of the output stands a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

ROUNDS, WARM, PIECE = 5, 3, 16


def network_of(shape: dict[str, int], dropout: float = 0.0) -> GPT2LMHeadModel:
    rates = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": 0.0}
    config = GPT2Config(
        vocab_size=shape["vocabulary"],
        n_positions=shape["length"],
        n_embd=shape["width"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        n_inner=shape["hidden"],
        bos_token_id=0,
        eos_token_id=None,
        **rates,
    )
    return GPT2LMHeadModel(config)


def decode(shape: dict[str, int], batches: list[int], tokens: int) -> dict[str, dict[str, float]]:
    """Tokens a second by batch with its static cache, as it comes and compiled; the best of some rounds each."""
    network = network_of(shape).eval()
    usual = network.forward
    found: dict[str, dict[str, float]] = {}
    for way in ("plain", "compiled"):
        network.forward = usual if way == "plain" else torch.compile(usual, dynamic=False)  # type: ignore[method-assign]
        found[way] = {}
        for batch in batches:
            given = torch.zeros(batch, 1, dtype=torch.long)
            settings = {"do_sample": True, "top_p": 0.95, "top_k": 256, "temperature": 0.9, "pad_token_id": 0}
            seconds = []
            for _ in range(ROUNDS + 1):
                began = time.perf_counter()
                with torch.inference_mode():
                    made = network.generate(
                        given,
                        attention_mask=torch.ones_like(given),
                        max_new_tokens=tokens,
                        min_new_tokens=tokens,
                        cache_implementation="static",
                        **settings,
                    )
                seconds.append(time.perf_counter() - began)
                assert made.shape == (batch, tokens + 1)
            found[way][str(batch)] = batch * tokens / min(seconds[1:])  # the first one compiles
    return found


def train(
    shape: dict[str, int], place: Path, seconds: float, batch: int, dropout: float, bfloat16: bool
) -> dict[str, float]:
    """On windows of place/train.npy, in bfloat16 where ours is; then mean nats a token of place/held_out.npy,
    windows (N, length + 1).
    """
    network = network_of(shape, dropout).train()
    line = np.load(place / "train.npy", mmap_mode="r")
    held_out = torch.from_numpy(np.load(place / "held_out.npy"))
    length, random = held_out.size(1) - 1, np.random.default_rng(0)
    decays = [p for p in network.parameters() if p.ndim >= 2]
    others = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, 1e-3, betas=(0.9, 0.95))
    steps, began = 0, 0.0
    while True:
        if steps == WARM:
            began = time.perf_counter()
        gone = time.perf_counter() - began if steps >= WARM else 0.0
        if gone >= seconds:
            break
        share = gone / seconds
        for group in optimizer.param_groups:  # up at once, down over the last fifth
            group["lr"] = 1e-3 * min(1.0, (steps + 1) / 100, (1 - share) / 0.2)
        starts = random.integers(0, len(line) - length, batch)
        windows = torch.from_numpy(line[starts[:, None] + np.arange(length + 1)].astype(np.int64))
        optimizer.zero_grad(set_to_none=True)
        nats(network, windows, bfloat16).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
    rate = (steps - WARM) * batch * length / (time.perf_counter() - began)
    network.eval()
    with torch.no_grad():
        total = sum(len(part) * float(nats(network, part, bfloat16)) for part in held_out.split(PIECE))
    count = sum(p.numel() for p in network.parameters())
    return {"tokens_per_second": rate, "parameters": count, "steps": steps, "nats": total / len(held_out)}


def nats(network: GPT2LMHeadModel, windows: Tensor, bfloat16: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = network(windows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["decode", "train"])
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--place", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    if given.what == "decode":
        found: object = decode(given.shape, given.batch, given.tokens)
    else:
        found = train(given.shape, given.place, given.seconds, given.batch[0], given.dropout, given.bfloat16)
    print(json.dumps(found), file=sys.stdout)


if __name__ == "__main__":
    main()
