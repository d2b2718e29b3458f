"""A language model: a decoder-only transformer over tokens, with one table for what goes in and what comes out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.language.spec import LanguageConfig
from models.parts.causal import CausalTransformer
from models.parts.transformer import KeyValueCache


class LanguageModel(nn.Module):
    """p(token | tokens before it)."""

    def __init__(self, config: LanguageConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.dropout = nn.Dropout(dropout)
        self.decoder = CausalTransformer(
            config.width, config.heads, config.hidden, config.layers, config.length, dropout
        )
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Tensor, cache: list[KeyValueCache] | None = None, position: int = 0) -> Tensor:
        """Tokens (B, N) -> what is known at each of them (B, N, width); see `CausalTransformer`."""
        made: Tensor = self.decoder(self.dropout(self.embedding(tokens)), cache, position)
        return made

    def logits(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., vocabulary)."""
        return F.linear(x, self.embedding.weight)
