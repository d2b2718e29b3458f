"""Masked image tokens, all foreseen at once. Chang et al., "MaskGIT", 2022."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.masked.spec import MaskedConfig
from models.parts.trunk import Prompts, Trunk


class MaskedTransformer(Trunk):
    """Tokens (B, N), masked ones `image_vocabulary`, and the known share t (B,) -> logits (B, N, vocabulary)."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__(config)
        self.config = config
        self.image_embedding = nn.Embedding(config.image_vocabulary + 1, config.width)
        self.image_position = nn.Parameter(torch.randn(config.grid**2, config.width) * 0.02)
        nn.init.normal_(self.image_embedding.weight, std=0.02)

    def logits(self, images: Tensor, t: Tensor, prompts: Prompts) -> Tensor:
        x = self.image_embedding(images) + self.image_position
        x = self.transform(x, self.condition(t, prompts), prompts)
        return F.linear(x, self.image_embedding.weight[:-1])

    def forward(self, images: Tensor, t: Tensor, tokens: Tensor, sentence: Tensor) -> Tensor:
        return self.logits(images, t, self.encode(tokens, sentence))


def halton_order(grid: int) -> list[int]:
    """Positions of a grid so that every beginning is spread evenly. Besnier et al., "Halton Scheduler for Masked
    Generative Image Transformer", 2025.
    """

    def radical_inverse(i: int, base: int) -> float:
        value, part = 0.0, 1.0 / base
        while i:
            i, digit = divmod(i, base)
            value, part = value + digit * part, part / base
        return value

    order: dict[int, None] = {}
    i = 1
    while len(order) < grid * grid:
        order.setdefault(int(radical_inverse(i, 2) * grid) * grid + int(radical_inverse(i, 3) * grid))
        i += 1
    return list(order)
