"""What transformers are made of: multi-head attention, norms, feed-forward layers and positions along two axes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]  # each (B, heads, N, head width)


def axial_rotary(grid: int, head_width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (grid * grid, head_width / 2): half of a head turns with the row, half with the column.

    Su et al., "RoFormer", 2021, along two axes.
    """
    frequencies = 1.0 / 100 ** (torch.arange(0, head_width // 2, 2) / (head_width // 2))
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    angles = torch.cat([axis.reshape(-1, 1) * frequencies for axis in (rows, columns)], dim=1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn pairs of a head's channels; x is (B, heads, N, head width)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1).type_as(x)


class Norm(nn.RMSNorm):
    """RMSNorm (Zhang & Sennrich, 2019), its gain in the input's dtype: only that is one fused kernel in autocast."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.type_as(x), self.eps)


def dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """(B, heads, N, head width); a mask says what is seen, or what is added to the scores. On CPUs the backward pass of
    this kernel takes 3.6 times as long in bfloat16 as in float32.
    """
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return dot_product_attention(query.float(), key.float(), value.float(), mask, causal)
    key, value = key.type_as(query), value.type_as(query)
    if mask is not None and mask.is_floating_point():
        mask = mask.type_as(query)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys; over itself or over a memory."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.query_norm, self.key_norm = Norm(width // heads), Norm(width // heads)
        nn.init.zeros_(self.out.weight)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, N, D) -> (B, heads, N, D / heads)

    def keys_and_values(self, x: Tensor) -> KeyValue:
        """(B, N, D) -> keys and values, to be computed once where the memory does not change."""
        key, value = self.key_value(x).chunk(2, dim=-1)
        return self.key_norm(self.split(key)), self.split(value)

    def queries(self, x: Tensor) -> Tensor:
        return self.query_norm(self.split(self.query(x)))

    def attend(self, query: Tensor, memory: KeyValue, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        mixed = dot_product_attention(query, *memory, mask, causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Squared ReLU. So et al., "Primer", 2021."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x)).square())
