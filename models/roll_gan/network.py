"""A GAN of music by bars: a generator of one note a voice and step, and a discriminator of such notes.

After Dong et al., "MuseGAN", 2018, without its binary neurons. A choice has no gradient, so neither network meets one
in training: real notes and the generator's logits pass through the same noise (the Concrete distribution of Maddison et
al., 2017; Gumbel-softmax in Jang et al., 2017). What is heard is drawn in the same way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.rolls import STEPS, TOKENS
from models.roll_gan.spec import RollGANConfig

COARSE, LEVELS = 2, 1  # places of a bar where the generator begins, and how often these are doubled
PACKED = STEPS // (COARSE * 2**LEVELS)  # steps of a place in the end: those of a beat are seen and written together
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
        self.out = nn.Conv1d(width, PACKED * config.voices * TOKENS, 1)
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


def concrete(logits: Tensor, gumbel: Tensor) -> Tensor:
    """Shares of tokens, drawn from the Concrete distribution of these logits at temperature 1."""
    return (logits.float() + gumbel).softmax(-1)


def gumbel_noise(like: Tensor, random: torch.Generator) -> Tensor:
    uniform = torch.rand(like.shape, generator=random).clamp(torch.finfo(torch.float32).tiny, 1 - 2**-24)
    return -torch.log(-torch.log(uniform)).to(like.device)


def one_hot(rolls: Tensor) -> Tensor:
    """Rolls (B, bars, STEPS, voices) of tokens as choices."""
    return F.one_hot(rolls, TOKENS).float()


class Reader(nn.Module):
    """Shares of tokens, or choices, (B, bars, STEPS, voices, TOKENS) to some numbers (B, outputs)."""

    def __init__(self, config: RollGANConfig, outputs: int) -> None:
        super().__init__()
        width, own = config.width, max(8, config.width // 4)
        self.embed = nn.Linear(TOKENS, own, bias=False)  # a note is the same in every voice
        self.enter = nn.Conv1d(PACKED * config.voices * own, width, 3, padding=1)
        levels: list[nn.Module] = []
        for level in range(LEVELS + 1):
            levels += [Block(width) for _ in range(config.blocks)]
            if level < LEVELS:
                levels.append(nn.AvgPool1d(2))
        self.body = nn.Sequential(*levels)
        self.out = nn.Linear(width * COARSE * config.bars, outputs)

    def forward(self, choices: Tensor) -> Tensor:
        x = self.embed(choices).reshape(len(choices), -1, self.enter.in_channels).transpose(1, 2)
        made: Tensor = self.out(F.leaky_relu(self.body(self.enter(x)), SLOPE).flatten(1))
        return made


class RollDiscriminator(Reader):
    """Scores (B,) of shares."""

    def __init__(self, config: RollGANConfig) -> None:
        super().__init__(config, 1)

    def forward(self, choices: Tensor) -> Tensor:
        return super().forward(choices)[:, 0].float()


class RollEncoder(Reader):
    """The latents that pieces come from, fitted to what the generator makes."""

    def __init__(self, config: RollGANConfig) -> None:
        super().__init__(config, config.latent)
