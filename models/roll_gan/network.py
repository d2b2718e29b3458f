"""A GAN of music by bars: a generator that chooses one note a voice and step, and a discriminator of such choices.

After Dong et al., "MuseGAN", 2018, whose binary neurons are here a choice among all tokens of a voice: what is heard is
the likeliest, what gradients see its softmax (the straight-through estimator of Bengio et al., 2013).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.rolls import STEPS, TOKENS
from models.roll_gan.spec import RollGANConfig

COARSE, LEVELS = 2, 3  # places of a bar where the generator begins, and how often these are doubled
SLOPE = 0.2


class Block(nn.Module):
    """Two convolutions along time, added to what was there; the second begins at nothing (Huang et al., "R3GAN")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(width, width, 5, padding=2), nn.Conv1d(width, width, 5, padding=2)
        nn.init.zeros_(self.two.weight)
        nn.init.zeros_(self.two.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.two(F.leaky_relu(self.one(F.leaky_relu(x, SLOPE)), SLOPE))
        return made


class RollGenerator(nn.Module):
    """Latents (B, latent) to logits (B, bars, STEPS, voices, TOKENS)."""

    def __init__(self, config: RollGANConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.enter = nn.Linear(config.latent, width * COARSE * config.bars)
        levels: list[nn.Module] = []
        for level in range(LEVELS + 1):
            if level:
                levels.append(nn.Upsample(scale_factor=2))
            levels += [Block(width) for _ in range(config.blocks)]
        self.body = nn.Sequential(*levels)
        self.out = nn.Conv1d(width, config.voices * TOKENS, 1)
        # The step in the latents, of length 1, that leads to more of each of DIRECTIONS; found when it has learnt.
        self.register_buffer("directions", torch.zeros(len(DIRECTIONS), config.latent))
        self.directions: Tensor
        self.encoder = RollEncoder(config)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.enter(latents).view(len(latents), self.config.width, -1)
        logits = self.out(self.body(x)).transpose(1, 2)
        made: Tensor = logits.reshape(len(latents), self.config.bars, STEPS, self.config.voices, TOKENS)
        return made


DIRECTIONS = ("denser", "higher")


def chosen(logits: Tensor, softness: float) -> Tensor:
    """One-hot rolls whose gradient is that of their softmax."""
    soft = (logits.float() / softness).softmax(-1)
    hard = F.one_hot(soft.argmax(-1), TOKENS).type_as(soft)
    return hard + soft - soft.detach()


def one_hot(rolls: Tensor) -> Tensor:
    """Rolls (B, bars, STEPS, voices) of tokens as the discriminator sees them."""
    return F.one_hot(rolls, TOKENS).float()


class Reader(nn.Module):
    """Choices (B, bars, STEPS, voices, TOKENS) to some numbers (B, outputs)."""

    def __init__(self, config: RollGANConfig, outputs: int) -> None:
        super().__init__()
        width, own = config.width, max(8, config.width // 4)
        self.embed = nn.Linear(TOKENS, own, bias=False)  # a note is the same in every voice
        self.enter = nn.Conv1d(config.voices * own, width, 5, padding=2)
        levels: list[nn.Module] = []
        for level in range(LEVELS + 1):
            levels += [Block(width) for _ in range(config.blocks)]
            if level < LEVELS:
                levels.append(nn.AvgPool1d(2))
        self.body = nn.Sequential(*levels)
        self.out = nn.Linear(width * COARSE * config.bars, outputs)

    def forward(self, choices: Tensor) -> Tensor:
        x = self.embed(choices).flatten(3).flatten(1, 2).transpose(1, 2)  # (B, voices * own, bars * STEPS)
        made: Tensor = self.out(F.leaky_relu(self.body(self.enter(x)), SLOPE).flatten(1))
        return made


class RollDiscriminator(Reader):
    """Scores (B,) of choices."""

    def __init__(self, config: RollGANConfig) -> None:
        super().__init__(config, 1)

    def forward(self, choices: Tensor) -> Tensor:
        return super().forward(choices)[:, 0].float()


class RollEncoder(Reader):
    """The latents that pieces come from, fitted to what the generator makes."""

    def __init__(self, config: RollGANConfig) -> None:
        super().__init__(config, config.latent)
