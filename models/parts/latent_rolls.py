"""What families share that map latents to rolls of music: pieces from chance, more like one, mixtures of some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from models.contract.composing import (
    GENERATION,
    INTERPOLATION,
    SCORE,
    VARIATION,
    DirectedParams,
    RollGenerationParams,
    playable,
)
from models.contract.message import Message
from models.contract.sampling import BATCHES, OnStep, Output, Request, Unfit
from models.contract.values import Score
from models.parts.interpolation import mixing_weights, mixture, slerp
from models.parts.keys import above_c, key_named
from models.parts.noise import gaussian
from models.parts.placed import bytes_of
from models.parts.rolls import Roll, given_roll, score_of


class LatentRolls(ABC):
    """Music out of latents that are a standard normal; `parts` are the names of its voices, `tempo` the usual one."""

    batch_size = BATCHES[-1]
    directions: ClassVar[dict[str, Tensor]] = {}  # by name (latent,), the step that is an amount of one

    def __init__(self, network: nn.Module, bars: int, latent: int, parts: list[str], tempo: float) -> None:
        self.network, self.bars, self.width, self.parts, self.tempo = network, bars, latent, parts, tempo
        self.device = next(network.parameters()).device
        self.memory_bytes = bytes_of(network)

    @abstractmethod
    def heard(self, roll: Roll) -> Tensor:
        """The latent (latent,) of a roll."""

    @abstractmethod
    def write(self, batch: list[Request], latents: Tensor, on_step: OnStep, ups: Sequence[int]) -> list[Roll]:
        """A roll for each of (B, latent)."""

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One piece a request; all are written side by side."""
        found = [self.latent(request) for request in batch]
        latents = torch.stack([latent for latent, _, _, _ in found]).to(self.device)
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
        """(latent, semitones above C or A minor, quarters a minute, what is to be said)."""
        chance = gaussian(request.seed, (self.width,))
        params = request.params
        if request.task == GENERATION:
            assert isinstance(params, RollGenerationParams)
            up = above_c(key_named(params.key) or 0)
            latent = params.variety * chance
            if isinstance(params, DirectedParams) and params.direction in self.directions:
                latent = latent + params.amount * self.directions[params.direction]
            return latent, up, self.tempo, None
        given = [score for score in request.inputs[SCORE] if isinstance(score, Score)]
        heard = [given_roll(score, self.bars, len(self.parts)) for score in given]
        latents = [self.heard(roll) for roll, _, _ in heard]
        is_more = any(more for *_, more in heard)
        remark = Message("The first {bars} bars were heard", bars=self.bars) if is_more else None
        tempo = playable(given[0].tempo)
        if request.task == VARIATION:
            return slerp(latents[0], chance, params.strength), heard[0][1], tempo, remark
        weights = mixing_weights(request, len(given))
        return mixture(latents, weights), heard[int(np.argmax(weights))][1], tempo, remark
