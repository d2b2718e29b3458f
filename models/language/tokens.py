"""Texts to sub-word tokens and back, and the long line of tokens that a collection is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from models.contract.files import write_atomically
from models.data.items import Texts
from models.data.pictures import Unsuitable, spread
from models.language import drama
from models.parts.sentences import cached

TOKENIZER = "tokenizer.json"
WHOLE_LINE = 24  # characters of a line that says something
SHORTEST = 8  # tokens to learn from
END = 0  # of a text: what is before says nothing of what comes


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE, so that any text in any script has tokens. Sennrich et al., 2016."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<end>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def text_of(item: dict[str, str], kind: str) -> str:
    text = item.get("text", "")
    return drama.plain(text) if kind == "drama" else text.strip() + "\n"


def pieces_of(text: str) -> Iterator[str]:
    """By which a copy is known: whole lines of some length, whatever their case and spaces."""
    for line in text.splitlines():
        bare = " ".join(line.casefold().split())
        if len(bare) >= WHOLE_LINE:
            yield bare


def tokenizer_for(data: Texts, kind: str, vocabulary: int, path: Path) -> Tokenizer:
    """The tokenizer in `path`, trained once on the texts that are trained on."""
    if not path.exists():
        texts = (text_of(item, kind) for item in data.items if item["split"] == "train")
        write_atomically(path, train_tokenizer(texts, vocabulary).to_str().encode(), 0o644)
    return Tokenizer.from_file(str(path))


class Lines:
    """The tokens of a split, text after text, each with an END before it; computed once, kept in `folder`."""

    def __init__(self, data: Texts, split: str, kind: str, tokenizer: Tokenizer, folder: Path, length: int) -> None:
        def encode() -> npt.NDArray[np.uint16]:
            texts = [text_of(item, kind) for item in data.items if item["split"] == split]
            rows = [np.array([END, *encoding.ids], np.uint16) for encoding in tokenizer.encode_batch(texts)]
            return np.concatenate(rows) if rows else np.zeros(0, np.uint16)

        self.tokens = cached(folder / f"{split}.npy", encode)
        self.characters = sum(len(text_of(item, kind)) for item in data.items if item["split"] == split)
        self.length = min(length, len(self.tokens) - 1)
        if self.length < SHORTEST:
            raise Unsuitable("the texts are too short to learn from")

    def windows(self, starts: npt.NDArray[np.int64]) -> Tensor:
        """(B, length + 1) tokens from each start on."""
        return torch.from_numpy(self.tokens[starts[:, None] + np.arange(self.length + 1)].astype(np.int64))

    def any(self, count: int, random: torch.Generator) -> Tensor:
        """So many windows from anywhere."""
        last = len(self.tokens) - self.length
        return self.windows(torch.randint(0, last, (count,), generator=random).numpy())

    def every(self, most: int) -> npt.NDArray[np.int64]:
        """Starts of windows one after the other, at most so many, evenly from all."""
        return spread(np.arange(0, len(self.tokens) - self.length, self.length), most)
