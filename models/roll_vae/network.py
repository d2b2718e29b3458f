"""A hierarchical VAE of music: bars are read one by one and then together; one latent vector is unfolded into bars,
and each bar is written on its own (Roberts et al., "A Hierarchical Latent Vector Model", 2018, with transformers).

Since a bar sees of the others only what the latent vector says of all, bars are written side by side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.attention import Norm
from models.parts.causal import CausalLayer, CausalTransformer, rotary
from models.parts.rolls import STEPS, TOKENS
from models.parts.transformer import KeyValueCache
from models.roll_vae.spec import RollConfig

LARGEST_LOG_VARIANCE = 8.0
UNKNOWN = TOKENS  # stands for a token before, where that is hidden in training


class Bars(nn.Module):
    """Bars (B, bars, width) that look at each other."""

    def __init__(self, config: RollConfig, dropout: float) -> None:
        super().__init__()
        shape = (config.width, config.heads, config.hidden, dropout)
        self.layers = nn.ModuleList(CausalLayer(*shape, causal=False) for _ in range(config.bar_layers))
        self.norm = Norm(config.width)
        cosine, sine = rotary(config.bars, config.width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, (self.cosine, self.sine))
        return self.norm(x)


class RollVAE(nn.Module):
    """Rolls (B, bars, STEPS, voices) of tokens, and latents (B, latent) that are a standard normal, nearly."""

    def __init__(self, config: RollConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        width, self.length = config.width, STEPS * config.voices
        self.heard = nn.Embedding(TOKENS, config.width // 4)
        self.bar_in = nn.Linear(self.length * (config.width // 4), width)
        self.reader, self.conductor = Bars(config, dropout), Bars(config, dropout)
        self.to_latent = nn.Linear(width * config.bars, 2 * config.latent)
        self.from_latent = nn.Linear(config.latent, width * config.bars)
        self.before = nn.Embedding(TOKENS + 1, width)
        self.places = nn.Parameter(torch.zeros(self.length, width))
        self.told = nn.Linear(width, width)
        self.begin = nn.Parameter(torch.zeros(width))
        self.writer = CausalTransformer(width, config.heads, config.hidden, config.layers, self.length, dropout)
        self.out = nn.Linear(width, TOKENS)
        self.dropout = nn.Dropout(dropout)
        # The aggregated posterior: latents of music are its mean and its Cholesky factor times a standard normal.
        self.register_buffer("prior_mean", torch.zeros(config.latent))
        self.register_buffer("prior_factor", torch.eye(config.latent))
        self.prior_mean: Tensor
        self.prior_factor: Tensor
        for table in (self.heard, self.before):
            nn.init.normal_(table.weight, std=0.02)

    def encode(self, rolls: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of the posterior."""
        bars = self.bar_in(self.heard(rolls).flatten(2))
        read = self.reader(self.dropout(bars)).flatten(1)
        mean, log_variance = self.to_latent(read).float().chunk(2, 1)
        return mean, log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)

    def unfold(self, latents: Tensor) -> Tensor:
        """(B, latent) -> what each bar is told (B, bars, width)."""
        bars = self.from_latent(latents).unflatten(1, (self.config.bars, -1))
        made: Tensor = self.told(self.conductor(bars))
        return made

    def decode(self, latents: Tensor, rolls: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Teacher forcing: logits (B, bars, STEPS * voices, TOKENS); where `hidden`, the token before is not told."""
        tokens = rolls.flatten(0, 1).flatten(1)  # (B * bars, STEPS * voices)
        told = self.unfold(latents).flatten(0, 1)[:, None]
        before = tokens[:, :-1]
        if hidden is not None:
            before = before.masked_fill(hidden.flatten(0, 1)[:, :-1], UNKNOWN)
        x = torch.cat([self.begin.expand(len(tokens), 1, -1).type_as(told), self.before(before)], 1)
        x = self.writer(self.dropout(x + self.places + told))
        logits: Tensor = self.out(x)
        return logits.unflatten(0, (-1, self.config.bars))

    def next_logits(self, before: Tensor | None, place: int, told: Tensor, cache: list[KeyValueCache]) -> Tensor:
        """(N, TOKENS) for the token at a place of N bars, once the one before it is known."""
        first = self.begin.expand(len(told), -1)
        x = (first if before is None else self.before(before)) + self.places[place] + told
        logits: Tensor = self.out(self.writer(x[:, None], cache, place)[:, 0])
        return logits

    def latents_of(self, noise: Tensor) -> Tensor:
        """Standard normal (B, latent) -> latents as those of music are distributed."""
        return self.prior_mean + noise @ self.prior_factor.T

    def noise_of(self, latents: Tensor) -> Tensor:
        """The other way."""
        return torch.linalg.solve_triangular(self.prior_factor, (latents - self.prior_mean).T, upper=False).T


def nats(logits: Tensor, rolls: Tensor) -> Tensor:
    """(B,) of whole rolls."""
    losses = F.cross_entropy(logits.flatten(0, 2).float(), rolls.flatten(), reduction="none")
    return losses.view(len(rolls), -1).sum(1)
