"""Draws pictures after prompts, and on the way between two, each in one pass."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import latents_beneath
from models.checkpoint import loaded
from models.contract.sampling import BATCHES, OnStep, Output, Request, padded, requests_of
from models.contract.values import Picture
from models.data.pictures import to_pixels
from models.parts.captions import prompt_encoder_of
from models.parts.noise import truncated_normal
from models.parts.placed import bytes_of, placed
from models.parts.text import PromptEncoder
from models.prompted_gan.network import Conditions, PromptedGenerator, mixed
from models.prompted_gan.spec import PromptedGANConfig, PromptedGANParams


def amount_of(request: Request) -> float:
    """How much of a request's picture the second prompt says."""
    params: PromptedGANParams = request.params
    if not params.other_prompt.strip():
        return 0.0
    return request.index / (params.count - 1) if params.path and params.count > 1 else params.amount


def seed_of(request: Request) -> int:
    """The works of a way are all drawn from the seed of its first."""
    return request.seed - (request.index if request.params.path else 0)


class PromptedGANSampler:
    """A generator, the autoencoder whose latents it draws if it does, and the prompt encoder it was trained with."""

    batch_size = BATCHES[-1]

    def __init__(self, network: PromptedGenerator, autoencoder: KLAutoencoder | None, prompts: PromptEncoder) -> None:
        self.network, self.autoencoder, self.prompts = network, autoencoder, prompts
        self.memory_bytes = bytes_of(network, *([autoencoder] if autoencoder else []))

    @property
    def device(self) -> torch.device:
        return self.network.first_layer.weight.device

    @torch.no_grad()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request, each from its own seed and prompts alone."""
        filled = padded(batch)
        latents = torch.stack([self.latent(request) for request in filled]).to(self.device)
        drawn = self.network.draw(latents, self.conditions(filled))[: len(batch)]
        pictures = self.autoencoder.decoder(drawn) if self.autoencoder else drawn
        on_step(1, 1, list)
        pixels = to_pixels(pictures).permute(0, 2, 3, 1).cpu().numpy()
        return [self.output(request, each) for request, each in zip(batch, pixels, strict=True)]

    def latent(self, request: Request) -> Tensor:
        """(latent,)."""
        uniform = np.random.default_rng(seed_of(request)).random(self.network.config.latent)
        return torch.from_numpy(truncated_normal(uniform, request.params.truncation)).float()

    def conditions(self, batch: list[Request]) -> Conditions:
        first = self.heard([request.params.prompt for request in batch])
        amounts = torch.tensor([amount_of(request) for request in batch], device=self.device)
        if not amounts.any():
            return first
        second = self.heard([request.params.other_prompt for request in batch])
        return mixed([first, second], torch.stack([1 - amounts, amounts], 1))

    def heard(self, texts: list[str]) -> Conditions:
        tokens, sentences = self.prompts.encode(texts)
        return self.network.conditions(
            torch.from_numpy(tokens).to(self.device), torch.from_numpy(sentences).to(self.device)
        )

    def output(self, request: Request, pixels: np.ndarray[Any, Any]) -> Output:
        params: PromptedGANParams = request.params
        amount = amount_of(request)
        remark = self.prompts.remark(params.prompt) or (self.prompts.remark(params.other_prompt) if amount else None)
        alone = {"seed": seed_of(request), "amount": round(amount, 6), "path": False} if params.path else {}
        return Output(Picture(pixels), alone=alone, remark=remark)


requests = partial(requests_of, PromptedGANParams)


def load(folder: Path, device: torch.device, published: Path | None = None) -> PromptedGANSampler:
    """`published` is where the autoencoder is looked for first, without it beside the folder.

    Raises CheckpointError when the checkpoint, or the autoencoder that it names, is broken or another one.
    """
    network, card = loaded(folder, lambda config: PromptedGenerator(PromptedGANConfig(**config)))
    autoencoder = latents_beneath(card, device, published or folder.parent)
    prompts = prompt_encoder_of(folder, network.config.prompt_length)
    return PromptedGANSampler(placed(network, device), autoencoder, prompts)
