"""Draws pictures from prompts with the flow transformer: classifier-free guidance along the way from noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.autoencoders.kl import KLAutoencoder
from models.autoencoders.load import load_latents
from models.checkpoint import loaded
from models.contract.card import AUTOENCODER, beneath
from models.contract.message import Message
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request, as_pictures, padded, requests_of
from models.contract.tasks import SamplingParams
from models.contract.values import Picture, Pixels
from models.data.pictures import to_pixels
from models.diffusion.flow import mixed, solve, times
from models.diffusion.network import FlowTransformer
from models.diffusion.spec import REFERENCE_WIDTH, FlowConfig, FlowParams
from models.diffusion.work import Work, work_of
from models.parts.captions import prompt_encoder_of
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
        self.side = network.config.size * (8 if autoencoder else 1)

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One picture a request. Requests of a batch may differ in all but their number of steps; others go apart, and
        so does each further square of a large picture. Raises Unfit for a mask that marks nothing.
        """
        works = [work_of(request, self.side) for request in batch]
        turns = [
            (steps, turn, chosen)
            for steps in sorted({work.params.steps for work in works})
            for turn in range(max(len(work.squares) for work in works))
            if (chosen := [w for w in works if w.params.steps == steps and turn < len(w.squares)])
        ]
        total, before = sum(steps for steps, _, _ in turns), 0
        for steps, turn, chosen in turns:

            def told(step: int, x: Tensor, chosen: list[Work] = chosen, before: int = before, turn: int = turn) -> None:
                on_step(before + step, total, partial(self._unfinished, works, chosen, turn, x.clone()))

            x = self.walk(chosen, turn, steps, told)
            for work, drawn in zip(chosen, self.draw(x), strict=False):
                work.put(turn, drawn)
            before += steps
        return [Output(Picture(work.canvas), remark=self.remark(work.params)) for work in works]

    def remark(self, params: SamplingParams) -> Message | None:
        return self.prompts.remark(params.prompt) if isinstance(params, FlowParams) else None

    def walk(self, works: list[Work], turn: int, steps: int, on_step: Callable[[int, Tensor], None]) -> Tensor:
        """(B, C, H, W) normalised data, of a square of each work; see `solve`."""
        filled = padded(works)
        encoded = self.network.encode(*self.read([work.params for work in filled]), self.references(filled))
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

        count = len(works)
        return solve(denoise, mixed(known, noise, schedule[0]), schedule, lambda k, x: on_step(k, x[:count]), keep)

    def read(self, params: list[SamplingParams]) -> tuple[Tensor, Tensor]:
        """(2 B, T) tokens and (2 B, 512) sentences: of prompts, then of what guidance leads away from."""
        texts = [getattr(p, "prompt", "") for p in params] + [getattr(p, "negative_prompt", "") for p in params]
        words, sentences = self.prompts.encode(texts)
        dropped = torch.tensor([not text.strip() for text in texts])
        tokens, sentence = drop_prompts(torch.from_numpy(words), torch.from_numpy(sentences), dropped)
        return tokens.to(self.device), sentence.to(self.device)

    def references(self, works: list[Work]) -> Tensor | None:
        """(2 B, REFERENCE_WIDTH): of the pictures that works go by, then of those that guidance leads away from."""
        if not self.network.config.reference or all(work.reference is None for work in works):
            return None
        none = torch.zeros(REFERENCE_WIDTH)
        found = [none if work.reference is None else work.reference for work in works]
        return torch.stack(found + [none] * len(found)).to(self.device)

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, side, side) in [-1, 1] -> normalised data."""
        return self.network.normalized(self.autoencoder.posterior(pictures)[0] if self.autoencoder else pictures)

    def draw(self, x: Tensor) -> list[Pixels]:
        """Normalised data -> (H, W, 3) uint8 pictures."""
        x = self.network.denormalized(x)
        pictures = to_pixels(self.autoencoder.decoder(x) if self.autoencoder else x)
        return list(pictures.permute(0, 2, 3, 1).cpu().numpy())

    @torch.inference_mode()
    def _unfinished(self, works: list[Work], chosen: list[Work], turn: int, x: Tensor) -> Previews:
        """What is foreseen of every work of a batch; those whose turn has not come are as they were given, or white."""
        drawn = dict(zip(map(id, chosen), self.draw(x), strict=False))
        return as_pictures([work.seen(turn, drawn.get(id(work))) for work in works])


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
