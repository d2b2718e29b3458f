"""Prompts of any length, with weights, for pipelines whose words are read by CLIP: in chunks of 75 tokens, each read by
itself (as AUTOMATIC1111's interface made it usual).

`(red)` weighs 1.1, `((red))` 1.21, `(red:1.4)` 1.4, `[red]` 1 / 1.1; `\\(` is a bracket.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.contract.adapters import named_in
from models.pretrained.economy import device_of

STEP, MOST = 1.1, 10.0  # what a pair of brackets weighs, and at most
PART = re.compile(r"\\[()\[\]\\]|:\s*(-?\d*\.?\d+)\s*\)|[()\[\]]|[^\\()\[\]:]+|:|\\")
Weighted = tuple[str, float]
Learnt = Mapping[str, tuple[list[Tensor], float]]  # words: vectors (n, D) for each encoder, and what they weigh
NONE: Learnt = {}


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
    vectors: dict[int, Tensor]  # in place of what some of them stand for

    def chunks(self, room: int) -> int:
        return max(1, -(-len(self.ids) // room))


class Words:
    """Reads prompts for a pipeline with one or two CLIP encoders."""

    def __init__(self, pipeline: Any) -> None:
        pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
        parts = [(getattr(pipeline, tokenizer, None), getattr(pipeline, encoder, None)) for tokenizer, encoder in pairs]
        self.pipeline = pipeline
        self.parts: list[tuple[Any, Any]] = [part for part in parts if None not in part]
        self.is_double = len(self.parts) > 1

    def tokens(self, prompt: str, number: int, learnt: Learnt) -> Tokens:
        """As the encoder of this number reads them."""
        tokenizer, _ = self.parts[number]
        made = Tokens([], [], {})
        for text, weight in weighted(prompt):
            for word, vectors, more in split(text, learnt):
                if vectors is None:
                    ids = tokenizer(word, add_special_tokens=False, truncation=False, verbose=False).input_ids
                else:
                    own = vectors[min(number, len(vectors) - 1)]
                    ids = [stand_in(tokenizer)] * len(own)
                    made.vectors |= {len(made.ids) + i: vector for i, vector in enumerate(own)}
                made.ids += ids
                made.weights += [weight * more] * len(ids)
        return made

    def chunks(self, prompts: Sequence[str], learnt: Learnt = NONE) -> int:
        """How many the longest of these takes: what is read together is read in as many."""
        return max(
            self.tokens(prompt, number, learnt).chunks(tokenizer.model_max_length - 2)
            for prompt in prompts
            for number, (tokenizer, _) in enumerate(self.parts)
        )

    @torch.no_grad()
    def read(
        self, prompts: Sequence[str], chunks: int, skip: int, learnt: Learnt = NONE
    ) -> tuple[Tensor, Tensor | None]:
        """(embedded words (B, 77 * chunks, D), of the whole (B, D) where there are two encoders), without the last
        `skip` layers.
        """
        found, pooled = [], None
        for number, (tokenizer, encoder) in enumerate(self.parts):
            tokens = [self.tokens(prompt, number, learnt) for prompt in prompts]
            rows = [self.rows(each, tokenizer, chunks) for each in tokens]
            ids = torch.tensor([ids for ids, _ in rows], device=device_of(self.pipeline))
            with put_in(encoder, [each.vectors for each in tokens], chunks, tokenizer.model_max_length):
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


def split(text: str, learnt: Learnt) -> Iterator[tuple[str, list[Tensor] | None, float]]:
    """Pieces of a text: words as they stand, and those that were learnt, with what each weighs."""
    while text:
        found = [(match, name) for name in learnt if (match := named_in(name, text))]
        if not found:
            yield text, None, 1.0
            return
        match, name = min(found, key=lambda each: (each[0].start(), -len(each[1])))
        if before := text[: match.start()]:
            yield before, None, 1.0
        yield name, *learnt[name]
        text = text[match.end() :]


def stand_in(tokenizer: Any) -> int:
    """An ordinary token in whose place a vector is put: encoders look for the special ones."""
    return next(i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids)


@contextmanager
def put_in(encoder: Any, vectors: list[dict[int, Tensor]], chunks: int, length: int) -> Iterator[None]:
    """Vectors of each prompt, by place, in place of what the encoder has for those tokens."""

    def replaced(module: Any, given: Any, embedded: Tensor) -> Tensor:
        for row, places in enumerate(vectors):
            for place, vector in places.items():
                chunk, column = divmod(place, length - 2)
                if chunk < chunks:
                    embedded[row * chunks + chunk, column + 1] = vector.to(embedded)
        return embedded

    hook = encoder.get_input_embeddings().register_forward_hook(replaced)
    try:
        yield
    finally:
        hook.remove()


def scaled(words: Tensor, weights: Tensor) -> Tensor:
    """(N, L, D) by (N, L), with the mean that they had, so that only what stands out changes."""
    if bool((weights == 1).all()):
        return words
    before = words.float().mean((1, 2), keepdim=True)
    made = words.float() * weights[..., None].float()
    return (made * before / made.mean((1, 2), keepdim=True)).to(words)
