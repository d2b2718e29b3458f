"""The encoder-decoder transformer: an encoder reads the prompt, a causal decoder writes image tokens.

Vaswani et al., "Attention Is All You Need", 2017; Ramesh et al., "Zero-Shot Text-to-Image Generation" (DALL-E), 2021.
Knows nothing of pictures (tokens only) and nothing of text (token ids and one vector only).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.transformer.spec import TransformerConfig
from models.transformer.text import NULL, PAD

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
        return F.rms_norm(x, self.normalized_shape, self.weight.type_as(x), self.eps)  # type: ignore[arg-type]


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
        key, value = memory
        # On CPUs the backward pass of this kernel takes 3.6 times as long in bfloat16 as in float32.
        on_cpu = query.device.type == "cpu"
        with torch.autocast(query.device.type, enabled=torch.is_autocast_enabled(query.device.type) and not on_cpu):
            if on_cpu:
                query, key, value = query.float(), key.float(), value.float()
            mixed = F.scaled_dot_product_attention(
                query, key.type_as(query), value.type_as(query), attn_mask=mask, is_causal=causal
            )
        return self.out(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Squared ReLU. So et al., "Primer", 2021."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x)).square())


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(config.width), Norm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width, config.encoder_hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention.attend(self.attention.queries(y), self.attention.keys_and_values(y), mask)
        return x + self.feed_forward(self.norm2(x))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the prompt, feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (Norm(config.width) for _ in range(3))
        self.self_attention = Attention(config.width, config.heads)
        self.cross_attention = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width, config.decoder_hidden)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        prompt: KeyValue,
        mask: Tensor,
        cache: KeyValue | None = None,
        position: int = 0,
    ) -> Tensor:
        """Whole sequences without `cache`; with it, the one token at `position`, after those already cached."""
        y = self.norm1(x)
        query = rotate(self.self_attention.queries(y), *rotary)
        key, value = self.self_attention.keys_and_values(y)
        key = rotate(key, *rotary)
        if cache is None:
            x = x + self.self_attention.attend(query, (key, value), causal=True)
        else:
            for kept, new in zip(cache, (key, value), strict=True):
                kept[:, :, position : position + 1] = new
            past = cache[0][:, :, : position + 1], cache[1][:, :, : position + 1]
            x = x + self.self_attention.attend(query, past)
        x = x + self.cross_attention.attend(self.cross_attention.queries(self.norm2(x)), prompt, mask)
        return x + self.feed_forward(self.norm3(x))


class TextToImageTransformer(nn.Module):
    """p(image tokens | prompt), one token at a time in reading order."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, length = config.width, config.grid**2
        self.text_embedding = nn.Embedding(config.text_vocabulary, width)
        self.text_position = nn.Parameter(torch.randn(config.prompt_length + 1, width) * 0.02)
        self.sentence = nn.Linear(config.sentence_width, width, bias=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.memory_norm = Norm(width)
        self.image_embedding = nn.Embedding(config.image_vocabulary, width)  # also the output layer
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.image_position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = Norm(width)
        for embedding in (self.text_embedding, self.image_embedding):
            nn.init.normal_(embedding.weight, std=0.02)
        cosine, sine = axial_rotary(config.grid, width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def encode(self, tokens: Tensor, sentence: Tensor) -> tuple[list[KeyValue], Tensor]:
        """Prompts (B, T) and sentence vectors (B, 512) -> each decoder layer's keys and values, and their mask.

        The sentence vector is one more token, in front.
        """
        # A unit vector has entries of about 1/sqrt(512); bring them to the size of an embedding.
        first = self.sentence(sentence * self.config.sentence_width**0.5 * 0.02).unsqueeze(1)
        x = torch.cat([first, self.text_embedding(tokens)], dim=1) + self.text_position[: tokens.size(1) + 1]
        mask = F.pad(tokens != PAD, (1, 0), value=True)[:, None, None]  # (B, 1, 1, 1 + T)
        for layer in self.encoder:
            x = layer(x, mask)
        memory = self.memory_norm(x)
        return [layer.cross_attention.keys_and_values(memory) for layer in self.decoder_layers], mask

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        return list(self.decoder)  # type: ignore[arg-type]

    def forward(self, image_tokens: Tensor, tokens: Tensor, sentence: Tensor) -> Tensor:
        """Teacher forcing: logits (B, N, vocabulary) of every image token given the true ones before it."""
        prompts, mask = self.encode(tokens, sentence)
        before = self.image_embedding(image_tokens[:, :-1])
        x = torch.cat([self.start.expand(len(tokens), 1, -1).type_as(before), before], dim=1) + self.image_position
        for layer, prompt in zip(self.decoder_layers, prompts, strict=True):
            x = layer(x, (self.cosine, self.sine), prompt, mask)
        return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.image_embedding.weight)

    def empty_cache(self, batch: int) -> list[KeyValue]:
        """Static keys and values of the self-attention, one pair a layer."""
        shape = (batch, self.config.heads, self.config.grid**2, self.config.width // self.config.heads)
        return [(self.start.new_zeros(shape), self.start.new_zeros(shape)) for _ in self.decoder]

    def next_logits(
        self, previous: Tensor | None, position: int, prompts: list[KeyValue], mask: Tensor, cache: list[KeyValue]
    ) -> Tensor:
        """Logits (B, vocabulary) of the token at `position`; `previous` (B,) is the token before it, None at first."""
        x = self.start.expand(mask.size(0), -1) if previous is None else self.image_embedding(previous)
        x = (x + self.image_position[position]).unsqueeze(1)  # (B, 1, D)
        rotary = self.cosine[position : position + 1], self.sine[position : position + 1]
        for layer, prompt, own in zip(self.decoder_layers, prompts, cache, strict=True):
            x = layer(x, rotary, prompt, mask, own, position)
        return self.logits(x).squeeze(1)


def drop_prompts(tokens: Tensor, sentence: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Replace the prompts of the rows where `dropped` (B,) is true by the null prompt."""
    nothing = torch.full_like(tokens, PAD)
    nothing[:, 0] = NULL
    return torch.where(dropped[:, None], nothing, tokens), sentence.masked_fill(dropped[:, None], 0.0)
