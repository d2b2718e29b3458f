"""A decoder-only transformer: layers of causal self-attention, and the cache that it writes with.

Vaswani et al., "Attention Is All You Need", 2017, without its encoder (Radford et al., "Improving Language
Understanding by Generative Pre-Training", 2018); rotary positions (Su et al., "RoFormer", 2021), normalised queries and
keys (Henry et al., 2020), squared ReLU (So et al., "Primer", 2021). Knows nothing of what a token stands for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.attention import Norm, dot_product_attention
from models.parts.transformer import KeyValueCache, Rotary

BASE = 10_000


def rotary(length: int, head_width: int) -> Rotary:
    """Cosines and sines (length, head_width / 2) along a line."""
    frequencies = 1.0 / BASE ** (torch.arange(0, head_width, 2) / head_width)
    angles = torch.arange(length)[:, None] * frequencies
    return angles.cos(), angles.sin()


def turned(x: Tensor, turns: Rotary) -> Tensor:
    """Pairs of a head's channels turned by where each token stands; x is (..., N, head width)."""
    cosine, sine = turns
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)


class CausalLayer(nn.Module):
    """Self-attention that sees what came before, or with `causal` false everything, then feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        self.heads, self.head_width, self.causal = heads, width // heads, causal
        self.dropout = nn.Dropout(dropout)
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.gain = nn.Parameter(torch.ones(2, 1, heads, 1, self.head_width))  # of queries and keys
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(
        self,
        x: Tensor,
        rotary: Rotary,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        position: int = 0,
    ) -> Tensor:
        """x (B, N, D), the rotations of its positions (N or B, 1, N, head width / 2), and what each may see (B, 1, 1
        or N, M), where that is less than all before it.

        Whole sequences without `cache`; with it the tokens from `position` on, which see those before them: one at a
        time, or at first several at once.
        """
        return self.feed_forward(self.attend(x, rotary, mask, cache, position))

    def feed_forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.down(F.relu(self.up(self.norm2(x))).square()))

    def attend(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, cache: KeyValueCache | None, position: int
    ) -> Tensor:
        batch, length, width = x.shape
        three = self.query_key_value(self.norm1(x)).view(batch, length, 3, self.heads, self.head_width)
        three = three.permute(2, 0, 3, 1, 4)  # (3, B, heads, N, head width)
        normed = F.rms_norm(three[:2], (self.head_width,)) * self.gain.type_as(x)
        query, key = turned(normed, rotary).type_as(three).unbind()
        value = three[2]
        if cache is not None:
            assert position == 0 or length == 1, "later tokens come one at a time"
            key, value = cache.write(position, key, value)
        mixed = dot_product_attention(query, key, value, mask, causal=self.causal and length > 1 and mask is None)
        return x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, length, width)))


class CausalTransformer(nn.Module):
    """Embedded tokens (B, N, D) -> what is known at each of them (B, N, D), normalised."""

    def __init__(self, width: int, heads: int, hidden: int, layers: int, length: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.heads, self.length = width, heads, length
        self.layers = nn.ModuleList(CausalLayer(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = Norm(width)
        cosine, sine = rotary(length, width // heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def forward(
        self,
        x: Tensor,
        cache: list[KeyValueCache] | None = None,
        position: int = 0,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Tokens from `position` on; see `CausalLayer`. `padding` (B,) are how many of the first tokens stand for
        nothing, so that sequences of several lengths end together.
        """
        end = position + x.size(1)
        turns = self.cosine[position:end], self.sine[position:end]
        mask = None
        if padding is not None:
            places = torch.arange(end, device=x.device)
            mask = (places >= padding[:, None])[:, None, None]  # (B, 1, 1, M)
            if x.size(1) > 1:
                mask = mask & (places <= places[position:, None]) | torch.eye(end, dtype=torch.bool, device=x.device)
        for i, layer in enumerate(self.layers):
            x = layer(x, turns, mask, cache[i] if cache else None, position)
        return self.norm(x)

    def empty_cache(self, batch: int) -> list[KeyValueCache]:
        """One a layer, for as many tokens as it can read."""
        shape = (batch, self.heads, self.length, self.width // self.heads)
        return [KeyValueCache(self.norm.weight, *shape) for _ in self.layers]
