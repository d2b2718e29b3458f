"""Draws pictures from prompts with the flow transformer: classifier-free guidance along the way from noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import latents_beneath
from models.checkpoint import loaded
from models.contract.sampling import padded, requests_of
from models.contract.values import Pixels
from models.data.pictures import to_pixels
from models.diffusion.flow import mixed, solve, times
from models.diffusion.network import FlowTransformer
from models.diffusion.spec import FlowConfig, FlowParams
from models.painting.sampler import PaintingSampler, Work, conditions
from models.parts.captions import prompt_encoder_of
from models.parts.placed import bytes_of
from models.parts.text import PromptEncoder

UNGUIDED = 0.1  # before this time guidance only makes pictures alike (Kynkaanniemi et al., 2024)


class FlowSampler(PaintingSampler):
    """A flow transformer, the autoencoder whose latents it draws if it does, and its prompt encoder."""

    def __init__(self, network: FlowTransformer, autoencoder: KLAutoencoder | None, prompts: PromptEncoder) -> None:
        self.network, self.autoencoder, self.prompts = network, autoencoder, prompts
        self.device = network.mean.device
        self.memory_bytes = bytes_of(network, *([autoencoder] if autoencoder else []))
        self.side = network.config.size * (8 if autoencoder else 1)

    def steps(self, work: Work) -> int:
        return int(work.params.steps)

    def draw(
        self, works: list[Work], turn: int, steps: int, on_step: Callable[[int, Callable[[], list[Pixels]]], None]
    ) -> list[Pixels]:
        """See `solve`."""
        filled = padded(works)
        takes_reference = self.network.config.reference
        encoded = self.network.encode(*conditions(filled, self.prompts, takes_reference, self.device))
        scale = torch.tensor([work.guidance_scale for work in filled], device=self.device).view(-1, 1, 1, 1)
        known = self.encode(torch.stack([work.known(turn) for work in filled]).to(self.device))
        noise = torch.stack([work.noise(turn, tuple(known.shape[1:])) for work in filled]).to(self.device)
        free = torch.stack([work.free(turn) for work in filled]).to(self.device)
        free = F.max_pool2d(free, free.shape[-1] // known.shape[-1])  # what is drawn in part is drawn
        schedule = times(steps, torch.tensor([work.start for work in filled], device=self.device))

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            prompted, other = self.network.denoise(z.repeat(2, 1, 1, 1), t.repeat(2), encoded).float().chunk(2)
            guided = other + scale * (prompted - other)
            return torch.where(t.view(-1, 1, 1, 1) >= UNGUIDED, guided, prompted)

        def keep(z: Tensor, t: Tensor) -> Tensor:
            return torch.where(free > 0, z, mixed(known, noise, t))

        def told(step: int, x: Tensor) -> None:
            on_step(step, partial(self.decode, x[: len(works)].clone()))

        return self.decode(solve(denoise, mixed(known, noise, schedule[0]), schedule, told, keep)[: len(works)])

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, side, side) in [-1, 1] -> normalised data."""
        return self.network.normalized(self.autoencoder.posterior(pictures)[0] if self.autoencoder else pictures)

    def decode(self, x: Tensor) -> list[Pixels]:
        """Normalised data -> (H, W, 3) uint8 pictures."""
        x = self.network.denormalized(x)
        pictures = to_pixels(self.autoencoder.decoder(x) if self.autoencoder else x)
        return list(pictures.permute(0, 2, 3, 1).cpu().numpy())


requests = partial(requests_of, FlowParams)


def load(folder: Path, device: torch.device, published: Path | None = None) -> FlowSampler:
    """`published` is where the autoencoder is looked for first, without it beside the folder.

    Raises CheckpointError when the checkpoint, or the autoencoder that it names, is broken or another one.
    """
    network, card = loaded(folder, lambda config: FlowTransformer(FlowConfig(**config)))
    autoencoder = latents_beneath(card, device, published or folder.parent)
    prompts = prompt_encoder_of(folder, network.config.prompt_length)
    return FlowSampler(network.to(device), autoencoder, prompts)
