"""Draws pictures from prompts with the masked transformer, several tokens at a step."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models.autoencoders.fsq import FSQAutoencoder
from models.autoencoders.load import load_autoencoder
from models.checkpoint import loaded
from models.contract.card import AUTOENCODER, CheckpointError, beneath
from models.contract.sampling import BATCHES, OnStep, Output, Request, padded, requests_of
from models.contract.values import Picture
from models.data.pictures import to_pixels
from models.masked.network import MaskedTransformer, halton_order
from models.masked.spec import MaskedConfig, MaskedParams
from models.parts.captions import prompt_encoder_of
from models.parts.noise import gumbel
from models.parts.prompt import drop_prompts
from models.parts.text import PromptEncoder


class MaskedSampler:
    """A masked transformer, the autoencoder of its tokens, and its prompt encoder."""

    batch_size = BATCHES[-1]

    def __init__(self, network: MaskedTransformer, autoencoder: FSQAutoencoder, prompts: PromptEncoder) -> None:
        self.network, self.autoencoder, self.prompts = network, autoencoder, prompts
        self.memory_bytes = sum(p.numel() * 4 for m in (network, autoencoder) for p in m.parameters())

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request."""
        grid = self.network.grid
        tokens = self.tokens(padded(batch))[: len(batch)]
        pictures = to_pixels(self.autoencoder.decode(tokens.view(-1, grid, grid))).permute(0, 2, 3, 1).numpy()
        on_step(1, 1, list)
        return [Output(Picture(pixels)) for pixels in pictures]

    def tokens(self, batch: list[Request]) -> Tensor:
        params: list[MaskedParams] = [request.params for request in batch]
        words, sentences = self.prompts.encode([p.prompt for p in params])
        size, config = len(batch), self.network.config
        dropped = torch.arange(2 * size) >= size
        prompts = self.network.encode(
            *drop_prompts(torch.from_numpy(words).repeat(2, 1), torch.from_numpy(sentences).repeat(2, 1), dropped)
        )
        length = config.grid**2
        noise = torch.stack([gumbel(request.seed, length, config.image_vocabulary) for request in batch])
        scale = torch.tensor([p.guidance_scale for p in params]).view(-1, 1, 1)
        temperature = torch.tensor([p.temperature for p in params]).view(-1, 1, 1)
        images = torch.full((size, length), config.image_vocabulary)
        order, known = halton_order(config.grid), 0
        steps = params[0].steps
        for step in range(1, steps + 1):
            upto = max(known + 1, round(length * (1 - math.acos(step / steps) / (math.pi / 2))))
            upto = length if step == steps else min(upto, length)
            t = torch.full((2 * size,), known / length)
            prompted, free = self.network.logits(images.repeat(2, 1), t, prompts).chunk(2)
            # Guidance grows with what is known: at first nothing is to be followed but the prompt's outline.
            guided = free + (1 + (scale - 1) * (0.3 + 0.7 * known / length)) * (prompted - free)
            chosen = (guided / temperature + noise).argmax(-1)
            places = torch.tensor(order[known:upto])
            images[:, places] = chosen[:, places]
            known = upto
            if known == length:
                break
        return images


requests = partial(requests_of, MaskedParams)


def load(folder: Path, device: torch.device, published: Path | None = None) -> MaskedSampler:
    network, card = loaded(folder, lambda config: MaskedTransformer(MaskedConfig(**config)))
    named = beneath(card, AUTOENCODER)
    if named is None:
        raise CheckpointError("the card does not name the autoencoder that it draws with")
    autoencoder, _ = load_autoencoder(named["name"], device, named["sha256"], beside=published or folder.parent)
    prompts = prompt_encoder_of(folder, network.config.prompt_length)
    return MaskedSampler(network.to(device), autoencoder, prompts)
