"""The verse transformer: a decoder that is told, of every character to come, where it will stand.

The places of characters are known before they are written, and given with each of them, as in Li et al., "Rigid Formats
Controlled Text Generation" (SongNet), 2020: the line, how many characters are left of it, whether it rhymes, its tone.
Knows nothing of characters, forms or rhymes: numbers alone.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.causal import CausalTransformer
from models.parts.transformer import KeyValueCache
from models.verse.spec import VerseConfig

LINES, PLACES, KINDS, TONES = 33, 17, 3, 4  # numbers of each part of a slot


class VerseTransformer(nn.Module):
    """p(character | what is asked for, characters before it, where it will stand)."""

    def __init__(self, config: VerseConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embedding = nn.Embedding(config.vocabulary, width)  # also the output layer
        tables = [nn.Embedding(count, width, padding_idx=0) for count in (LINES, PLACES, KINDS, TONES)]
        self.slots = nn.ModuleList(tables)
        self.decoder = CausalTransformer(width, config.heads, config.hidden, config.layers, config.length)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for table in tables:
            nn.init.normal_(table.weight, std=0.02)
            table.weight.data[0] = 0  # nowhere

    def forward(
        self,
        tokens: Tensor,
        slots: Tensor,
        cache: list[KeyValueCache] | None = None,
        position: int = 0,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, N) and the slots (B, N, 4) of those that follow each -> what is known of these (B, N, width).

        With `cache` those from `position` on, after `padding`; see `CausalTransformer`.
        """
        x = self.embedding(tokens)
        for part, table in zip(slots.unbind(-1), self.slots, strict=True):
            x = x + table(part)
        made: Tensor = self.decoder(x, cache, position, padding)
        return made

    def logits(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., vocabulary)."""
        return F.linear(x, self.embedding.weight)
