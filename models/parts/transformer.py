"""Layers of an encoder and of a decoder, and the cache that a decoder draws with.

Vaswani et al., "Attention Is All You Need", 2017, normalised before each part, with rotary positions. Knows nothing of
what a position stands for: of the rotations of a line or of a grid, of masks and of embeddings the network says.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.parts.attention import Attention, FeedForward, KeyValue, Norm, rotate

Rotary = tuple[Tensor, Tensor]  # cosines and sines, each (N or B, 1, N, head width / 2)


class KeyValueCache:
    """Keys and values (B, heads, length, head width) of one layer's self-attention, allocated once.

    What lies behind the positions that were written is not read.
    """

    def __init__(self, like: Tensor, batch: int, heads: int, length: int, head_width: int) -> None:
        shape = (batch, heads, length, head_width)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)

    def write(self, position: int, key: Tensor, value: Tensor) -> KeyValue:
        """Of the n tokens from `position` on, (B, heads, n, head width) each; returns all up to the last of them."""
        end = position + key.size(2)
        self.keys[:, :, position:end], self.values[:, :, position:end] = key, value
        return self.keys[:, :, :end], self.values[:, :, :end]


class EncoderLayer(nn.Module):
    """Self-attention over whatever the mask lets be seen, then feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, 1, 1 or N, N): true where a position is seen."""
        y = self.norm1(x)
        x = x + self.attention.attend(self.attention.queries(y), self.attention.keys_and_values(y), mask)
        return x + self.feed_forward(self.norm2(x))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to a memory, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (Norm(width) for _ in range(3))
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden)

    def forward(
        self,
        x: Tensor,
        rotary: Rotary,
        memory: KeyValue,
        mask: Tensor,
        cache: KeyValueCache | None = None,
        position: int = 0,
        key_rotary: Rotary | None = None,
    ) -> Tensor:
        """x (B, N, D), its rotations, and the memory's keys and values with their mask (B, 1, 1, M). Keys turn as
        queries do, unless they have rotations of their own.

        Whole sequences without `cache`; with it the tokens from `position` on, which see those before them: one at a
        time, or at first several at once.
        """
        y = self.norm1(x)
        query = rotate(self.self_attention.queries(y), *rotary)
        key, value = self.self_attention.keys_and_values(y)
        seen = (rotate(key, *(key_rotary or rotary)), value)
        if cache is not None:
            assert position == 0 or x.size(1) == 1, "later tokens come one at a time"
            seen = cache.write(position, *seen)
        x = x + self.self_attention.attend(query, seen, causal=x.size(1) > 1)
        x = x + self.cross_attention.attend(self.cross_attention.queries(self.norm2(x)), memory, mask)
        return x + self.feed_forward(self.norm3(x))
