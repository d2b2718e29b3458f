"""The encoder that reads a prompt: sub-word tokens and one sentence vector to a memory that layers attend to.

A picture to go by is one token more of that memory. Ramesh et al., "Hierarchical Text-Conditional Image Generation with
CLIP Latents" (unCLIP), 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.attention import Norm
from models.parts.caption_reader import WIDTH, CaptionReader
from models.parts.prompt_spec import REFERENCE_WIDTH, PromptShape
from models.parts.text import NULL, PAD
from models.parts.transformer import EncoderLayer


class PromptReader(nn.Module):
    """Base of networks that a prompt conditions."""

    def __init__(self, config: PromptShape) -> None:
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
        self.captions: CaptionReader | None = None
        if config.contrastive:
            self.captions = CaptionReader(config.text_vocabulary, config.sentence_width).requires_grad_(False)
            self.looks = nn.Linear(WIDTH, width, bias=False)
            nn.init.zeros_(self.looks.weight)  # it begins as if it were not there
        if config.reference:
            self.reference = nn.Linear(REFERENCE_WIDTH, width, bias=False)
            nn.init.normal_(self.reference.weight, std=0.02 / REFERENCE_WIDTH**0.5)  # an embedding's size, as of words
            self.register_buffer("reference_mean", torch.zeros(REFERENCE_WIDTH))
            self.register_buffer("reference_scale", torch.ones(REFERENCE_WIDTH))
            self.reference_mean: Tensor  # of what is seen in the data
            self.reference_scale: Tensor

    def read(self, tokens: Tensor, sentence: Tensor, reference: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Prompts (B, T) and sentence vectors (B, 512) -> memory (B, 1 + T, width) and its mask (B, 1, 1, 1 + T).

        The sentence vector is one more token, in front, with what the prompt looks like where that is read; what is
        seen of reference pictures (B, REFERENCE_WIDTH), zeros where there is none, is one at the end, where any is
        given.
        """
        # A unit vector has entries of about 1/sqrt(512); bring them to the size of an embedding.
        first = self.sentence(sentence * self.sentence_width**0.5 * 0.02).unsqueeze(1)
        if self.captions is not None:
            first = first + self.looks(self.captions(tokens, sentence)).unsqueeze(1)
        x = torch.cat([first, self.text_embedding(tokens)], dim=1) + self.text_position[: tokens.size(1) + 1]
        mask = F.pad(tokens != PAD, (1, 0), value=True)[:, None, None]
        for layer in self.encoder:
            x = layer(x, mask)
        memory = self.memory_norm(x)
        if reference is None:
            return memory, mask
        given = reference.any(1, keepdim=True)
        token = self.reference((reference - self.reference_mean) / self.reference_scale) * given
        memory = torch.cat([memory, self.memory_norm(token).unsqueeze(1).type_as(memory)], 1)
        return memory, torch.cat([mask, given[:, None, None]], -1)

    @torch.no_grad()
    def fit_reference_scale(self, seen: Tensor) -> None:
        """Take the mean and the spread of what is seen of the data (N, REFERENCE_WIDTH)."""
        self.reference_mean.copy_(seen.mean(0))
        self.reference_scale.copy_(seen.std(0).clamp(min=1e-3))


def drop_prompts(tokens: Tensor, sentence: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Replace the prompts of the rows where `dropped` (B,) is true by the null prompt."""
    return hide_words(tokens, dropped), sentence.masked_fill(dropped[:, None], 0.0)


def hide_words(tokens: Tensor, hidden: Tensor) -> Tensor:
    """Replace the words of the rows where `hidden` (B,) is true by none: what is left of them is their sentence vector.
    A network that knows every training caption by its words learns from it what meanings look like.
    """
    nothing = torch.full_like(tokens, PAD)
    nothing[:, 0] = NULL
    return torch.where(hidden[:, None], nothing, tokens)
