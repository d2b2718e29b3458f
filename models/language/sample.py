"""Goes on with texts, token by token, with a cache of what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.checkpoint import loaded, read_text
from models.contract.message import Message
from models.contract.sampling import BATCHES, OnStep, Output, Previews, Request
from models.contract.values import Text
from models.contract.writing import TEXT_GENERATION, WritingParams, is_name
from models.language import drama
from models.language.network import LanguageModel
from models.language.spec import ContinuationParams, DramaParams, LanguageConfig
from models.language.tokens import END, TOKENIZER, pieces_of
from models.parts.copies import Copies, read_copies
from models.parts.noise import gumbel
from models.parts.nucleus import nucleus
from models.parts.placed import bytes_of

MOST_NAMED = 3  # copies
LIKELIEST = 256  # tokens that are looked at
TOKENS_A_SPEECH = 120  # at most, on the average


@dataclass
class Work:
    """A text that is being written: tokens of what it begins with, and of what came after."""

    params: WritingParams
    seed: int
    tokenizer: Tokenizer
    given: list[int]
    most: int
    tokens: list[int] = field(default_factory=list)
    cue: list[int] = field(default_factory=list)  # tokens of the name of who speaks next, where that is chosen
    is_done: bool = False
    is_named: bool = False  # who speaks, in a scene, and nothing is said yet

    def text(self) -> str:
        made: str = self.tokenizer.decode([token for token in self.given + self.tokens if token != END])
        made = made.removesuffix("\ufffd")
        if isinstance(self.params, DramaParams):
            made = drama.until(made, self.params.speeches)
        return made.strip("\n")

    def is_over(self, text: str) -> bool:
        """A scene ends when one more begins to speak than was asked for."""
        return isinstance(self.params, DramaParams) and drama.until(text, self.params.speeches) != text

    def take(self, token: int) -> None:
        self.tokens.append(token)
        ends = token == END or len(self.tokens) >= self.most
        if not isinstance(self.params, DramaParams):
            self.is_done = ends
            return
        text = self.text_so_far
        self.is_done = ends or self.is_over(text)
        self.is_named = drama.ends_with_name(text)
        if self.params.answering and text.endswith("\n\n"):
            self.cue = self.tokenizer.encode(f"{self.who_answers(text)}\n").ids

    def who_answers(self, text: str) -> str:
        """One of those who may speak, but not who has just spoken; by chance of the request's seed."""
        assert isinstance(self.params, DramaParams)
        every = list(dict.fromkeys(name.upper() for name in (self.params.speaker, *self.params.answering)))
        last = next((line for line in reversed(text.split("\n")) if is_name(line)), "")
        able = [name for name in every if name != last] or every
        return able[int(np.random.default_rng((self.seed, text.count("\n\n"))).integers(len(able)))]

    @property
    def text_so_far(self) -> str:
        made: str = self.tokenizer.decode(self.given + self.tokens)
        return made


class LanguageSampler:
    """A language model with its tokens; `kind` says what it has learnt."""

    batch_size = BATCHES[-1]

    def __init__(self, network: LanguageModel, tokenizer: Tokenizer, kind: str, copies: Copies | None = None) -> None:
        self.network, self.tokenizer, self.kind, self.copies = network, tokenizer, kind, copies
        self.device = network.embedding.weight.device
        self.memory_bytes = bytes_of(network)
        vocabulary = tokenizer.get_vocab_size() if kind == "drama" else 0  # nobody is named elsewhere
        spelled = (tokenizer.decode([token]) for token in range(vocabulary))
        self.empty = [token for token, text in enumerate(spelled) if token == END or text.startswith("\n")]

    @torch.inference_mode()
    def sample(self, batch: list[Request], on_step: OnStep) -> list[Output]:
        """One text a request; those that begin equally long are written together, so that each sees what it would see
        alone. What is longer than the network sees at once is written on from its second half.
        """
        works = [self.work(request) for request in batch]
        groups = [[w for w in works if len(w.given) == length] for length in dict.fromkeys(len(w.given) for w in works)]
        total, before = sum(max(work.most for work in group) for group in groups), 0
        for group in groups:

            def told(step: int, before: int = before) -> None:
                on_step(before + step, total, partial(previews, works))

            self.write(group, told)
            before += max(work.most for work in group)
        return [Output(Text(work.text()), remark=self.remark(work)) for work in works]

    def work(self, request: Request) -> Work:
        params: WritingParams = request.params
        if isinstance(params, DramaParams):
            given, most = drama.speech(params.speaker, params.opening or ""), TOKENS_A_SPEECH * params.speeches
        else:
            assert isinstance(params, ContinuationParams)
            given, most = (params.opening or "").strip(), params.tokens
        is_named = isinstance(params, DramaParams) and drama.ends_with_name(given)
        tokens = [END, *self.tokenizer.encode(given).ids]
        return Work(params, request.seed, self.tokenizer, tokens, most, is_named=is_named)

    def remark(self, work: Work) -> Message | None:
        seen = self.network.config.length // 2
        if len(work.given) > seen:
            count = len(work.given)
            return Message("The opening has {count} tokens; the model read the last {most}", count=count, most=seen)
        if self.copies is None:
            return None
        opening = pieces_of(getattr(work.params, "opening", None) or "")
        found = self.copies.among(pieces_of(work.text()), opening)
        return Message("It learnt this by heart: {pieces}", pieces=" / ".join(found[:MOST_NAMED])) if found else None

    def write(self, works: list[Work], on_step: Callable[[int], None]) -> None:
        total, length = max(work.most for work in works), self.network.config.length
        noise = torch.stack([gumbel(work.seed, total, LIKELIEST) for work in works], 1).to(self.device)
        cache, x = self.network.decoder.empty_cache(len(works)), torch.zeros(0)
        position = length  # of the token that was read last, of so many that it can see
        for step in range(total):
            if position == length:  # nothing was read yet, or it sees no further
                rows = [(work.given + work.tokens)[-(length // 2) :] for work in works]
                position = max(map(len, rows))
                rows = [[END] * (position - len(row)) + row for row in rows]  # those that are done are shorter
                cache = self.network.decoder.empty_cache(len(works))
                x = self.network(torch.tensor(rows, device=self.device), cache)[:, -1]
            chosen = self.choose(self.network.logits(x).float(), works, noise[step])
            is_over = all(work.is_done for work in works)
            on_step(total if is_over else step + 1)
            if is_over:
                return
            x = self.network(chosen[:, None], cache, position)[:, 0]
            position += 1

    def choose(self, logits: Tensor, works: list[Work], noise: Tensor) -> Tensor:
        """(B,) the next token of each, of (B, vocabulary) logits. Whoever is named says something."""
        for row, work in zip(logits, works, strict=True):
            if work.is_named:
                row[self.empty] = -torch.inf
        chosen = nucleus(logits, [work.params for work in works], noise).tolist()
        for work, token in zip(works, chosen, strict=True):
            if not work.is_done:
                work.take(work.cue.pop(0) if work.cue else token)
        return torch.tensor([(work.given + work.tokens)[-1] for work in works], device=self.device)

    def sheet(self) -> str:
        """A few texts from nothing, or a scene."""
        if self.kind == "drama":
            wanted: list[WritingParams] = [
                DramaParams(speaker=name, speeches=3) for name in ("HAMLET", "JULIET", "FALSTAFF")
            ]
        else:
            wanted = [ContinuationParams(tokens=120) for _ in range(3)]
        asked = [Request(TEXT_GENERATION, params, seed) for seed, params in enumerate(wanted)]
        made = self.sample(asked, lambda step, total, previews: None)
        return "\n\n· · ·\n\n".join(output.value.text for output in made if isinstance(output.value, Text)) + "\n"


def previews(works: list[Work]) -> Previews:
    return [Text(work.text()) for work in works]


def load(folder: Path, device: torch.device, published: Path | None = None) -> LanguageSampler:
    """Raises CheckpointError when the checkpoint is broken or another one."""
    network, card = loaded(folder, lambda config: LanguageModel(LanguageConfig(**config)))
    tokenizer = Tokenizer.from_str(read_text(folder, TOKENIZER, card))
    kind = str(card.get("kind", "plain"))
    return LanguageSampler(network.to(device), tokenizer, kind, read_copies(folder, card))
