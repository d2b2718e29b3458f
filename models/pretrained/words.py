"""Prompts of any length, with weights, for pipelines whose words are read by CLIP: in chunks of 75 tokens, each read by
itself (as AUTOMATIC1111's interface made it usual).

`(red)` weighs 1.1, `((red))` 1.21, `(red:1.4)` 1.4, `[red]` 1 / 1.1; `\\(` is a bracket.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

STEP, MOST = 1.1, 10.0  # what a pair of brackets weighs, and at most
PART = re.compile(r"\\[()\[\]\\]|:\s*(-?\d*\.?\d+)\s*\)|[()\[\]]|[^\\()\[\]:]+|:|\\")
Weighted = tuple[str, float]


def weighted(prompt: str) -> list[Weighted]:
    """(text, weight) in order. A bracket that is never closed weighs until the end."""
    found: list[list[Any]] = []
    round_, square = list[int](), list[int]()  # where those that are open began

    def weigh(start: int, factor: float) -> None:
        for each in found[start:]:
            each[1] *= factor

    for match in PART.finditer(prompt):
        part, number = match.group(), match.group(1)
        if part.startswith("\\") and len(part) > 1:
            found.append([part[1:], 1.0])
        elif part == "(":
            round_.append(len(found))
        elif part == "[":
            square.append(len(found))
        elif number is not None and round_:
            weigh(round_.pop(), max(-MOST, min(MOST, float(number))))
        elif part == ")" and round_:
            weigh(round_.pop(), STEP)
        elif part == "]" and square:
            weigh(square.pop(), 1 / STEP)
        else:
            found.append([part, 1.0])
    for start in round_:
        weigh(start, STEP)
    for start in square:
        weigh(start, 1 / STEP)
    return joined(found)


def joined(parts: Sequence[Sequence[Any]]) -> list[Weighted]:
    """Neighbours of one weight as one text."""
    made: list[Weighted] = []
    for text, weight in parts:
        if made and made[-1][1] == weight:
            made[-1] = made[-1][0] + text, weight
        else:
            made.append((text, weight))
    return made


@dataclass
class Tokens:
    """Of a prompt, without begin and end, with the weight of each."""

    ids: list[int]
    weights: list[float]

    def chunks(self, room: int) -> int:
        return max(1, -(-len(self.ids) // room))


class Words:
    """Reads prompts for a pipeline with one or two CLIP encoders."""

    def __init__(self, pipeline: Any) -> None:
        pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
        parts = [(getattr(pipeline, tokenizer, None), getattr(pipeline, encoder, None)) for tokenizer, encoder in pairs]
        self.parts: list[tuple[Any, Any]] = [part for part in parts if None not in part]
        self.is_double = len(self.parts) > 1

    def tokens(self, prompt: str, tokenizer: Any) -> Tokens:
        ids, weights = [], []
        for text, weight in weighted(prompt):
            own = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
            ids += own
            weights += [weight] * len(own)
        return Tokens(ids, weights)

    def chunks(self, prompts: Sequence[str]) -> int:
        """How many the longest of these takes: what is read together is read in as many."""
        return max(
            self.tokens(prompt, tokenizer).chunks(tokenizer.model_max_length - 2)
            for prompt in prompts
            for tokenizer, _ in self.parts
        )

    @torch.inference_mode()
    def read(self, prompts: Sequence[str], chunks: int, skip: int) -> tuple[Tensor, Tensor | None]:
        """(embedded words (B, 77 * chunks, D), of the whole (B, D) where there are two encoders), without the last
        `skip` layers.
        """
        found, pooled = [], None
        for number, (tokenizer, encoder) in enumerate(self.parts):
            rows = [self.rows(self.tokens(prompt, tokenizer), tokenizer, chunks) for prompt in prompts]
            ids = torch.tensor([ids for ids, _ in rows], device=encoder.device)
            made = encoder(ids.flatten(0, 1), output_hidden_states=True)
            if self.is_double:
                words = made.hidden_states[-2 - skip]
                pooled = made[0].unflatten(0, ids.shape[:2])[:, 0] if number else None
            elif skip:
                words = getattr(encoder, "text_model", encoder).final_layer_norm(made.hidden_states[-1 - skip])
            else:
                words = made[0]
            weights = torch.tensor([weights for _, weights in rows], device=words.device).flatten(0, 1)
            found.append(scaled(words, weights.to(words)).unflatten(0, ids.shape[:2]).flatten(1, 2))
        return torch.cat(found, -1), pooled

    def rows(self, tokens: Tokens, tokenizer: Any, chunks: int) -> tuple[list[list[int]], list[list[float]]]:
        """Ids and weights of each chunk, with begin, end and padding."""
        length = tokenizer.model_max_length
        ids, weights = [], []
        for i in range(chunks):
            part = slice(i * (length - 2), (i + 1) * (length - 2))
            own, heavy = tokens.ids[part], tokens.weights[part]
            padding = length - 2 - len(own)
            ids.append([tokenizer.bos_token_id, *own, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * padding])
            weights.append([1.0, *heavy, 1.0, *[1.0] * padding])
        return ids, weights


def scaled(words: Tensor, weights: Tensor) -> Tensor:
    """(N, L, D) by (N, L), with the mean that they had, so that only what stands out changes."""
    if bool((weights == 1).all()):
        return words
    before = words.float().mean((1, 2), keepdim=True)
    made = words.float() * weights[..., None].float()
    return (made * before / made.mean((1, 2), keepdim=True)).to(words)
