"""Draws pictures from prompts with the flow transformer: classifier-free guidance along the way from noise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import load_latents
from models.checkpoint import loaded
from models.contract.card import AUTOENCODER, beneath
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request, as_pictures, padded, requests_of
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels
from models.diffusion.flow import heun
from models.diffusion.network import FlowTransformer
from models.diffusion.spec import FlowConfig, FlowParams
from models.parts.captions import prompt_encoder_of
from models.parts.noise import gaussian
from models.parts.prompt import drop_prompts
from models.parts.text import PromptEncoder

UNGUIDED = 0.1  # before this time guidance only makes pictures alike (Kynkaanniemi et al., 2024)


class FlowSampler:
    """A flow transformer, the autoencoder whose latents it draws if it does, and its prompt encoder."""

    batch_size = BATCHES[-1]

    def __init__(self, network: FlowTransformer, autoencoder: KLAutoencoder | None, prompts: PromptEncoder) -> None:
        self.network, self.autoencoder, self.prompts = network, autoencoder, prompts
        self.device = network.mean.device
        modules = [network, autoencoder] if autoencoder else [network]
        self.memory_bytes = sum(p.numel() * p.element_size() for module in modules for p in module.parameters())

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request. Requests of a batch may differ in guidance; those of other steps go apart."""
        outputs: dict[int, Output] = {}
        every = sorted({request.params.steps for request in batch})
        total, before = sum(every), 0
        for steps in every:
            chosen = [i for i, request in enumerate(batch) if request.params.steps == steps]
            told = partial(self._on_step, on_step, chosen, len(batch), before, total)
            x = self.walk([batch[i] for i in chosen], steps, told)
            for i, pixels in zip(chosen, self.draw(x), strict=False):
                outputs[i] = Output(Picture(pixels), remark=self.prompts.remark(batch[i].params.prompt))
            before += steps
        return [outputs[i] for i in range(len(batch))]

    def walk(self, batch: list[Request], steps: int, on_step: partial[None]) -> Tensor:
        """(B, C, H, W) normalised data, one of each request; see `heun`."""
        filled = padded(batch)
        params: list[FlowParams] = [request.params for request in filled]
        words, sentences = self.prompts.encode([p.prompt for p in params])
        tokens, sentence = torch.from_numpy(words).to(self.device), torch.from_numpy(sentences).to(self.device)
        size = len(filled)
        dropped = torch.arange(2 * size, device=self.device) >= size  # the second half is the null prompt
        encoded = self.network.encode(*drop_prompts(tokens.repeat(2, 1), sentence.repeat(2, 1), dropped))
        scale = torch.tensor([p.guidance_scale for p in params], device=self.device).view(-1, 1, 1, 1)
        config = self.network.config
        shape = (config.channels, config.size, config.size)
        noise = torch.stack([gaussian(request.seed, shape) for request in filled]).to(self.device)

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            prompted, free = self.network.denoise(z.repeat(2, 1, 1, 1), t.repeat(2), encoded).float().chunk(2)
            return free + scale * (prompted - free) if float(t[0]) >= UNGUIDED else prompted

        return heun(denoise, noise, steps, lambda step, x: on_step(step, x[: len(batch)]))[: len(batch)]

    def draw(self, x: Tensor) -> list[Pixels]:
        """Normalised data -> (H, W, 3) uint8 pictures."""
        x = self.network.denormalized(x)
        pictures = to_pixels(self.autoencoder.decoder(x) if self.autoencoder else x)
        return list(pictures.permute(0, 2, 3, 1).cpu().numpy())

    def _on_step(
        self, on_step: OnStep, chosen: list[int], count: int, before: int, total: int, step: int, x: Tensor
    ) -> None:
        on_step(before + step, total, partial(self._unfinished, chosen, count, x.clone()))

    @torch.inference_mode()
    def _unfinished(self, chosen: list[int], count: int, x: Tensor) -> Previews:
        """What is foreseen of every picture of a batch; those whose turn has not come stay white."""
        drawn = dict(zip(chosen, self.draw(x), strict=False))
        blank = np.full_like(next(iter(drawn.values())), 255)
        return as_pictures([drawn.get(i, blank) for i in range(count)])


requests = partial(requests_of, FlowParams)


def load(folder: Path, device: torch.device, published: Path | None = None) -> FlowSampler:
    """`published` is where the autoencoder is looked for first, without it beside the folder.

    Raises CheckpointError when the checkpoint, or the autoencoder that it names, is broken or another one.
    """
    network, card = loaded(folder, lambda config: FlowTransformer(FlowConfig(**config)))
    autoencoder = None
    if (named := beneath(card, AUTOENCODER)) is not None:
        autoencoder, _ = load_latents(named["name"], device, named["sha256"], beside=published or folder.parent)
    prompts = prompt_encoder_of(folder, network.config.prompt_length)
    return FlowSampler(network.to(device), autoencoder, prompts)
