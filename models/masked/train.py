"""Trains the masked transformer: a share of each picture's tokens is hidden, and foreseen from the rest."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.autoencoders.load import load_autoencoder
from models.autoencoders.tokens import Examples
from models.data.pictures import Collection, Indices
from models.masked.network import MaskedTransformer
from models.masked.sample import MaskedSampler, requests
from models.masked.spec import MaskedTraining
from models.parts.captions import prompt_encoder
from models.parts.prompt import drop_prompts
from models.training import parallel
from models.training.prompted import train_prompted, write_prompted
from models.training.run import Run
from models.training.schedule import step_generator
from models.training.start import pin_autoencoder

MEASURED, MEASURED_SHARES = 384, (0.1, 0.4, 0.7)


def masked(images: Tensor, share: Tensor, vocabulary: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Image tokens (B, N) of which about `share` (B,) stays known -> (with masks, where the masks are)."""
    hidden = torch.rand(images.shape, generator=random).to(images.device) >= share[:, None]
    hidden[hidden.sum(1) == 0] = True
    return images.masked_fill(hidden, vocabulary), hidden


def train(params: MaskedTraining, data: Collection, run: Run) -> None:
    torch.manual_seed(run.seed)
    with parallel.first_alone():
        own, beneath = pin_autoencoder(params.autoencoder, run)
        autoencoder, _ = load_autoencoder(params.autoencoder, run.device, beside=own.parent)
        prompts = prompt_encoder(params.network, data, run.path / "tokenizer.json", None)
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
    vocabulary = params.network.image_vocabulary

    def batch(chosen: Indices, random: torch.Generator) -> tuple[Tensor, ...]:
        images, tokens, sentences = examples.batch(chosen, random)
        prompt = drop_prompts(tokens, sentences, torch.rand(len(images), generator=random) < params.prompt_drop)
        share = 1 - torch.cos(torch.rand(len(images), generator=random) * math.pi / 2)
        return images, *masked(images, share, vocabulary, random), *prompt

    def loss(images: Tensor, given: Tensor, hidden: Tensor, tokens: Tensor, sentences: Tensor) -> Tensor:
        logits = network(given, 1 - hidden.float().mean(1), tokens, sentences)
        return F.cross_entropy(logits[hidden].float(), images[hidden], label_smoothing=0.05)

    average, result = train_prompted(
        params,
        data,
        run,
        network,
        layers="layers.",
        decay=0.3,
        batch=batch,
        loss=loss,
        held_out=(MEASURED, lambda network, indices: evaluate(network, examples, indices, vocabulary)),
        sampler=lambda network: MaskedSampler(network, autoencoder, prompts),
        requests=requests,
    )
    write_prompted("masked-transformer", average, prompts, params, data, run, result, None, beneath)


@torch.no_grad()
def evaluate(network: MaskedTransformer, examples: Examples, indices: Indices, vocabulary: int) -> float:
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
