"""The encoder that reads a prompt: sub-word tokens and one sentence vector to a memory that layers attend to."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.attention import Norm
from models.parts.text import NULL, PAD
from models.parts.transformer import EncoderLayer


class PromptConfig(Protocol):
    """What a network's shape says of its prompt encoder."""

    width: int
    heads: int
    encoder_layers: int
    encoder_hidden: int
    text_vocabulary: int
    prompt_length: int
    sentence_width: int


class PromptReader(nn.Module):
    """Base of networks that a prompt conditions."""

    def __init__(self, config: PromptConfig) -> None:
        super().__init__()
        width = config.width
        self.sentence_width = config.sentence_width
        self.text_embedding = nn.Embedding(config.text_vocabulary, width)
        self.text_position = nn.Parameter(torch.randn(config.prompt_length + 1, width) * 0.02)
        self.sentence = nn.Linear(config.sentence_width, width, bias=False)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, config.heads, config.encoder_hidden) for _ in range(config.encoder_layers)
        )
        self.memory_norm = Norm(width)
        nn.init.normal_(self.text_embedding.weight, std=0.02)

    def read(self, tokens: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts (B, T) and sentence vectors (B, 512) -> memory (B, 1 + T, width) and its mask (B, 1, 1, 1 + T).

        The sentence vector is one more token, in front.
        """
        # A unit vector has entries of about 1/sqrt(512); bring them to the size of an embedding.
        first = self.sentence(sentence * self.sentence_width**0.5 * 0.02).unsqueeze(1)
        x = torch.cat([first, self.text_embedding(tokens)], dim=1) + self.text_position[: tokens.size(1) + 1]
        mask = F.pad(tokens != PAD, (1, 0), value=True)[:, None, None]
        for layer in self.encoder:
            x = layer(x, mask)
        return self.memory_norm(x), mask


def drop_prompts(tokens: Tensor, sentence: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Replace the prompts of the rows where `dropped` (B,) is true by the null prompt."""
    nothing = torch.full_like(tokens, PAD)
    nothing[:, 0] = NULL
    return torch.where(dropped[:, None], nothing, tokens), sentence.masked_fill(dropped[:, None], 0.0)
