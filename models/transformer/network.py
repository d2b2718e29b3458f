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
from models.parts.transformer import DecoderLayer, KeyValueCache, Rotary
from models.transformer.spec import TransformerConfig


class TextToImageTransformer(PromptReader):
    """p(image tokens | prompt), one token at a time: in reading order, or with `any_order` in any.

    A token in the sequence is told what was drawn before it, and where it is itself. In another order it is also told
    where the one before stands: queries turn by the place that is drawn, keys by the place of what they hold (Pannatier
    et al., "sigma-GPTs", 2024, which adds both).
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.config = config
        width, length = config.width, config.grid**2
        self.image_embedding = nn.Embedding(config.image_vocabulary, width)  # also the output layer
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.image_position = nn.Parameter(torch.randn(length, width) * 0.02)
        if config.any_order:
            self.previous_position = nn.Parameter(torch.randn(length, width) * 0.02)
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

    def encode(
        self, tokens: Tensor, sentence: Tensor, reference: Tensor | None = None
    ) -> tuple[list[KeyValue], Tensor]:
        """Prompts (B, T), sentence vectors (B, 512) and what is seen of reference pictures (B, REFERENCE_WIDTH), zeros
        where there is none -> each decoder layer's keys and values, and their mask.
        """
        memory, mask = self.read(tokens, sentence, reference)
        return [layer.cross_attention.keys_and_values(memory) for layer in self.decoder_layers], mask

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        return list(self.decoder)  # type: ignore[arg-type]

    @property
    def reading_order(self) -> Tensor:
        """(1, N) places."""
        return torch.arange(self.config.grid**2, device=self.start.device)[None]

    def forward(
        self,
        image_tokens: Tensor,
        tokens: Tensor,
        sentence: Tensor,
        reference: Tensor | None = None,
        order: Tensor | None = None,
    ) -> Tensor:
        """Teacher forcing: logits (B, N, vocabulary) of every image token given the true ones before it.

        Both are in the order of places `order` (B or 1, N), without one in reading order.
        """
        prompts, mask = self.encode(tokens, sentence, reference)
        return self.decode(image_tokens[:, :-1], self.reading_order if order is None else order, prompts, mask)

    def decode(
        self,
        before: Tensor,
        order: Tensor,
        prompts: list[KeyValue],
        mask: Tensor,
        cache: list[KeyValueCache] | None = None,
        position: int = 0,
    ) -> Tensor:
        """Logits (B, n, vocabulary) of the tokens from `position` of an order (B or 1, N) on; `before` (B, n) are those
        that stand before each, and of the very first there is none.

        Whole sequences without `cache`; with it see `DecoderLayer`.
        """
        x = self.image_embedding(before)
        if position == 0:
            x = torch.cat([self.start.expand(mask.size(0), 1, -1).type_as(x), x], dim=1)
        end = position + x.size(1)
        places = order[:, position:end]
        x = x + self.image_position[places]
        turns = keys = self.turns(places)
        if self.config.any_order:
            previous = order[:, max(position - 1, 0) : end - 1]
            told = self.previous_position[previous]
            if position == 0:
                previous, told = F.pad(previous, (1, 0)), F.pad(told, (0, 0, 1, 0))
            x, keys = x + told, self.turns(previous)
        for i, (layer, prompt) in enumerate(zip(self.decoder_layers, prompts, strict=True)):
            x = layer(x, turns, prompt, mask, cache[i] if cache else None, position, keys)
        return F.linear(self.norm(x), self.image_embedding.weight)

    def turns(self, places: Tensor) -> Rotary:
        """Of places (B, n), for (B, heads, n, head width)."""
        return self.cosine[places].unsqueeze(1), self.sine[places].unsqueeze(1)

    def empty_cache(self, batch: int) -> list[KeyValueCache]:
        """One a layer of the decoder."""
        heads, width = self.config.heads, self.config.width // self.config.heads
        return [KeyValueCache(self.start, batch, heads, self.config.grid**2, width) for _ in self.decoder]
