"""Writes music out of latents: from chance, more like a piece, and mixtures of some."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import loaded
from models.contract.composing import GENERATION, RollGenerationParams
from models.contract.sampling import OnStep, Previews, Request
from models.contract.values import Score
from models.parts.latent_rolls import LatentRolls
from models.parts.noise import gumbel
from models.parts.nucleus import nucleus
from models.parts.rolls import HOLD, REST, STEPS, TOKENS, Roll, score_of
from models.roll_vae.network import RollVAE
from models.roll_vae.spec import RollConfig


class RollSampler(LatentRolls):
    """A VAE of music."""

    network: RollVAE

    def __init__(self, network: RollVAE, parts: list[str], tempo: float) -> None:
        super().__init__(network, network.config.bars, network.config.latent, parts, tempo)

    def heard(self, roll: Roll) -> Tensor:
        """The noise that a roll stands for."""
        mean, _ = self.network.encode(torch.from_numpy(roll)[None].to(self.device))
        return self.network.noise_of(mean)[0].cpu()

    def write(self, batch: list[Request], latents: Tensor, on_step: OnStep, ups: Sequence[int]) -> list[Roll]:
        """Token by token, all bars at once."""
        config, count = self.network.config, len(batch)
        length, bars = STEPS * config.voices, config.bars
        told = self.network.unfold(self.network.latents_of(latents)).flatten(0, 1)
        cache = self.network.writer.empty_cache(count * bars)
        noise = torch.stack(
            [gumbel(request.seed, length * bars, TOKENS).view(bars, length, TOKENS) for request in batch]
        )
        noise = noise.flatten(0, 1).to(self.device)
        params = [request.params for request in batch for _ in range(bars)]
        made = torch.full((count * bars, length), REST, device=self.device)
        before: Tensor | None = None
        for place in range(length):
            logits = self.network.next_logits(before, place, told, cache).float()
            if place >= config.voices:  # what is silent cannot be held
                silent = made[:, place - config.voices] == REST
                logits[silent, HOLD] = -torch.inf
            before = nucleus(logits, params, noise[:, place])
            made[:, place] = before
            step, voice = divmod(place + 1, config.voices)
            if not voice:
                on_step(step, STEPS, partial(self.previews, made, count, ups))
        return list(made.view(count, bars, STEPS, config.voices).cpu().numpy())

    def previews(self, made: Tensor, count: int, ups: Sequence[int]) -> Previews:
        rolls = made.view(count, self.network.config.bars, STEPS, -1).cpu().numpy()
        return [score_of(roll, up, self.tempo, self.parts) for roll, up in zip(rolls, ups, strict=True)]

    @torch.inference_mode()
    def samples(self, rolls: list[Roll]) -> list[Score]:
        """These pieces, and after each what comes of it."""
        latents = torch.stack([self.heard(roll) for roll in rolls]).to(self.device)
        asked = [Request(GENERATION, RollGenerationParams(temperature=0.5), seed) for seed in range(len(rolls))]
        again = self.write(asked, latents, lambda *_: None, [0] * len(rolls))
        pairs = [each for pair in zip(rolls, again, strict=True) for each in pair]
        return [score_of(roll, 0, self.tempo, self.parts) for roll in pairs]


def load(folder: Path, device: torch.device, published: Path | None = None) -> RollSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: RollVAE(RollConfig(**config)))
    return RollSampler(network.to(device), list(card["voices"]), float(card.get("tempo", 120)))
