"""Writes music in one pass of a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import loaded
from models.contract.composing import GENERATION, RollGenerationParams
from models.contract.sampling import OnStep, Request, padded
from models.contract.values import Score
from models.parts.latent_rolls import LatentRolls
from models.parts.noise import gaussian, gumbel
from models.parts.nucleus import nucleus
from models.parts.rolls import HIGHEST, LOWEST, TOKENS, Roll, score_of, within
from models.roll_gan.network import DIRECTIONS, RollGenerator, one_hot
from models.roll_gan.spec import RollGANConfig

SHEET = 6  # pieces


class RollGANSampler(LatentRolls):
    """A generator of music."""

    network: RollGenerator

    def __init__(
        self, network: RollGenerator, parts: list[str], tempo: float, ranges: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__(network, network.config.bars, network.config.latent, parts, tempo)
        self.ranges = torch.from_numpy(within(ranges or [(LOWEST, HIGHEST)] * len(parts)))
        self.directions = dict(zip(DIRECTIONS, network.directions.cpu(), strict=True))  # type: ignore[misc]

    def heard(self, roll: Roll) -> Tensor:
        found: Tensor = self.network.encoder(one_hot(torch.from_numpy(roll)[None].to(self.device)))[0].cpu()
        return found

    def write(self, batch: list[Request], latents: Tensor, on_step: OnStep, ups: Sequence[int]) -> list[Roll]:
        """In noise, as they were seen in training; each note by itself: little is left to chance but the latents. No
        voice leaves the range in which it sang in training.
        """
        logits = self.network(torch.stack(padded(list(latents))))[: len(latents)].float().cpu()
        logits = logits.masked_fill(~self.ranges, -torch.inf)
        notes = logits[0].numel() // TOKENS
        noise = torch.cat([gumbel(request.seed, notes, TOKENS) for request in batch])
        params = [request.params for request in batch for _ in range(notes)]
        rolls = nucleus(logits.reshape(-1, TOKENS), params, noise).view(logits.shape[:-1])
        on_step(1, 1, list)
        return list(rolls.numpy())

    @torch.inference_mode()
    def samples(self) -> list[Score]:
        latents = torch.stack([gaussian(seed, (self.width,)) for seed in range(SHEET)]).to(self.device)
        asked = [Request(GENERATION, RollGenerationParams(), seed) for seed in range(SHEET)]
        rolls = self.write(asked, latents, lambda *_: None, [0] * SHEET)
        return [score_of(roll, 0, self.tempo, self.parts) for roll in rolls]


def load(folder: Path, device: torch.device, published: Path | None = None) -> RollGANSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: RollGenerator(RollGANConfig(**config)))
    tempo, ranges = float(card.get("tempo", 120)), card.get("ranges", [])
    return RollGANSampler(network.to(device), list(card["voices"]), tempo, ranges)
