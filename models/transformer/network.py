"""The encoder-decoder transformer: an encoder reads the prompt, a causal decoder writes image tokens.

Vaswani et al., "Attention Is All You Need", 2017; Ramesh et al., "Zero-Shot Text-to-Image Generation" (DALL-E), 2021.
Knows nothing of pictures (tokens only) and nothing of text (token ids and one vector only).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.attention import KeyValue, Norm, axial_rotary
from models.parts.prompt import PromptReader
from models.parts.transformer import DecoderLayer, KeyValueCache
from models.transformer.spec import TransformerConfig


class TextToImageTransformer(PromptReader):
    """p(image tokens | prompt), one token at a time in reading order."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.config = config
        width, length = config.width, config.grid**2
        self.image_embedding = nn.Embedding(config.image_vocabulary, width)  # also the output layer
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.image_position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.decoder = nn.ModuleList(
            DecoderLayer(width, config.heads, config.decoder_hidden) for _ in range(config.decoder_layers)
        )
        self.norm = Norm(width)
        nn.init.normal_(self.image_embedding.weight, std=0.02)
        cosine, sine = axial_rotary(config.grid, width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.cosine: Tensor
        self.sine: Tensor

    def encode(self, tokens: Tensor, sentence: Tensor) -> tuple[list[KeyValue], Tensor]:
        """Prompts (B, T) and sentence vectors (B, 512) -> each decoder layer's keys and values, and their mask."""
        memory, mask = self.read(tokens, sentence)
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

    def empty_cache(self, batch: int) -> list[KeyValueCache]:
        """One a layer of the decoder."""
        heads, width = self.config.heads, self.config.width // self.config.heads
        return [KeyValueCache(self.start, batch, heads, self.config.grid**2, width) for _ in self.decoder]

    def next_logits(
        self, previous: Tensor | None, position: int, prompts: list[KeyValue], mask: Tensor, cache: list[KeyValueCache]
    ) -> Tensor:
        """Logits (B, vocabulary) of the token at `position`; `previous` (B,) is the token before it, None at first."""
        x = self.start.expand(mask.size(0), -1) if previous is None else self.image_embedding(previous)
        x = (x + self.image_position[position]).unsqueeze(1)  # (B, 1, D)
        rotary = self.cosine[position : position + 1], self.sine[position : position + 1]
        for layer, prompt, own in zip(self.decoder_layers, prompts, cache, strict=True):
            x = layer(x, rotary, prompt, mask, own, position)
        return self.logits(x).squeeze(1)
