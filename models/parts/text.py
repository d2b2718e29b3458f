"""Prompts to numbers: sub-word tokens of our own, and a multilingual sentence embedding from a pinned package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models.parts.sentences import SentenceEncoder, normalize

PAD, NULL = 0, 1  # NULL alone stands for "no prompt", which classifier-free guidance contrasts with


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE, so that any text in any script has tokens. Sennrich et al., 2016."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        map(normalize, texts),
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<pad>", "<null>"],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return tokenizer


class PromptEncoder:
    """Both views of a prompt: (tokens, sentence)."""

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self.tokenizer, self.length, self.sentences = tokenizer, length, SentenceEncoder()

    def tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, length), PAD after the end."""
        rows = np.full((len(texts), self.length), PAD, dtype=np.int64)
        for row, encoding in zip(rows, self.tokenizer.encode_batch([normalize(t) for t in texts]), strict=True):
            ids = encoding.ids[: self.length]
            row[: len(ids)] = ids
        return rows

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        return self.tokens(texts), self.sentences.encode(texts)
