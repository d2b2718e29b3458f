"""What captions look like: a text encoder whose vectors lie near to those of the pictures that they are of.

It is fitted before a training, by `models.training.contrastive`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.text import PAD

WIDTH = 128  # of a caption's vector


class CaptionReader(nn.Module):
    """Captions to unit vectors: by what the sentence means, and by which words it has, in no order."""

    def __init__(self, vocabulary: int, sentence_width: int) -> None:
        super().__init__()
        self.scale = sentence_width**0.5  # a unit vector's entries are of about one over it
        self.words = nn.EmbeddingBag(vocabulary, WIDTH, mode="mean", padding_idx=PAD)
        self.body = nn.Sequential(nn.Linear(sentence_width + WIDTH, 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor, sentence: Tensor) -> Tensor:
        """(B, T), (B, 512) -> (B, WIDTH)."""
        return F.normalize(self.body(torch.cat([sentence * self.scale, self.words(tokens)], 1)).float(), dim=1)
