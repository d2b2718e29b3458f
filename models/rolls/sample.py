"""Writes music out of latents: from chance, more like a piece, and mixtures of some."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.checkpoint import loaded
from models.contract.composing import GENERATION, INTERPOLATION, SCORE, VARIATION
from models.contract.message import Message
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request, Unfit
from models.contract.values import Score
from models.parts.interpolation import mixing_weights, mixture, slerp
from models.parts.keys import KEYS, TONICS
from models.parts.noise import gaussian, gumbel
from models.parts.nucleus import nucleus
from models.parts.piano_roll import roll_sheet
from models.rolls.network import RollVAE
from models.rolls.roll import HOLD, REST, STEPS, TOKENS, Roll, given_roll, score_of
from models.rolls.spec import RollConfig, RollGenerationParams


class RollSampler:
    """A VAE of music; `parts` are the names of its voices, `tempo` the usual one."""

    batch_size = BATCHES[-1]

    def __init__(self, network: RollVAE, parts: list[str], tempo: float) -> None:
        self.network, self.parts, self.tempo = network, parts, tempo
        self.device = network.prior_mean.device
        self.memory_bytes = sum(p.numel() * p.element_size() for p in network.parameters())

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One piece a request; all bars of all of them are written side by side."""
        found = [self.latent(request) for request in batch]
        latents = self.network.latents_of(torch.stack([noise for noise, _, _, _ in found]).to(self.device))
        rolls = self.write(batch, latents, on_step, [up for _, up, _, _ in found])
        made = []
        for request, roll, (_, up, tempo, remark) in zip(batch, rolls, found, strict=True):
            alone = {}
            if request.task == INTERPOLATION:
                count = len(request.inputs[SCORE])
                alone = {"weights": [round(w, 6) for w in mixing_weights(request, count)], "path": False}
            score = score_of(roll, up, request.params.tempo or tempo, self.parts)
            if not score.notes:
                raise Unfit("The model wrote nothing but silence; another seed may help")
            made.append(Output(score, alone=alone, remark=remark))
        return made

    def latent(self, request: Request) -> tuple[Tensor, int, float, Message | None]:
        """(as standard normal noise, semitones above C or A minor, quarters a minute, what is to be said)."""
        chance = gaussian(request.seed, (self.network.config.latent,))
        params = request.params
        if request.task == GENERATION:
            assert isinstance(params, RollGenerationParams)
            if params.key is not None and params.key not in KEYS:
                raise Unfit("{key} is not a key that the model knows", key=params.key)
            key = KEYS.index(params.key) if params.key else 0
            up = (key - (9 if key >= len(TONICS) else 0) + 6) % len(TONICS) - 6
            return params.variety * chance, up, self.tempo, None
        given = [score for score in request.inputs[SCORE] if isinstance(score, Score)]
        heard = [given_roll(score, self.network.config.bars, len(self.parts)) for score in given]
        latents = [self.heard(roll) for roll, _, _ in heard]
        bars = self.network.config.bars
        remark = Message("The first {bars} bars were heard", bars=bars) if any(more for *_, more in heard) else None
        tempo = float(np.clip(given[0].tempo, 20, 300))
        if request.task == VARIATION:
            return slerp(latents[0], chance, params.strength), heard[0][1], tempo, remark
        weights = mixing_weights(request, len(given))
        return mixture(latents, weights), heard[int(np.argmax(weights))][1], tempo, remark

    def heard(self, roll: Roll) -> Tensor:
        """The noise that a roll stands for."""
        mean, _ = self.network.encode(torch.from_numpy(roll)[None].to(self.device))
        return self.network.noise_of(mean)[0].cpu()

    def write(self, batch: list[Request], latents: Tensor, on_step: OnStep, ups: Sequence[int]) -> list[Roll]:
        """Token by token, all bars at once."""
        config, count = self.network.config, len(batch)
        length, bars = STEPS * config.voices, config.bars
        told = self.network.unfold(latents).flatten(0, 1)
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
    def sheet(self, rolls: list[Roll]) -> Image.Image:
        """These pieces, and below each what comes of it."""
        latents = torch.cat([self.network.encode(torch.from_numpy(roll)[None].to(self.device))[0] for roll in rolls])
        asked = [Request(GENERATION, RollGenerationParams(temperature=0.5), seed) for seed in range(len(rolls))]
        again = self.write(asked, latents, lambda *_: None, [0] * len(rolls))
        pairs = [each for pair in zip(rolls, again, strict=True) for each in pair]
        return roll_sheet([score_of(roll, 0, self.tempo, self.parts) for roll in pairs])


def load(folder: Path, device: torch.device, published: Path | None = None) -> RollSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: RollVAE(RollConfig(**config)))
    return RollSampler(network.to(device), list(card["voices"]), float(card.get("tempo", 120)))
