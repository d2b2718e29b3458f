"""The captions of a collection as a training reads them: tokens and sentence vectors, computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.checkpoint import read_card, read_text
from models.contract.files import write_atomically
from models.data.pictures import Collection, Indices, spread
from models.parts.prompt import PromptConfig
from models.parts.sentences import OnProgress, cached, caption_sentences, captions_from, captions_of
from models.parts.text import PAD, PromptEncoder, train_tokenizer


class Captions:
    """The tokens are kept in `folder`; the sentences, which depend on the captions alone, beside the collection."""

    def __init__(
        self,
        data: Collection,
        prompts: PromptEncoder,
        folder: Path,
        on_progress: OnProgress = lambda done: None,
    ) -> None:
        self.begins = captions_from(data)
        self.tokens = cached(folder / "tokens.npy", lambda: prompts.tokens(captions_of(data)).astype(np.uint16))
        self.sentences = caption_sentences(data, prompts.sentences, on_progress)

    def of(self, indices: Indices, draws: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Prompt tokens (B, T) and sentences (B, 512): of each item the caption that its draw in [0, 1) falls on.

        T is the length of the longest prompt among them; most are far shorter than what the network can read.
        """
        low, high = self.begins[indices], self.begins[indices + 1]
        caption = low + (draws * (high - low)).astype(np.int64)
        tokens = self.tokens[caption]
        longest = max(1, int((tokens != PAD).any(axis=0).sum()))
        return (
            torch.from_numpy(tokens[:, :longest].astype(np.int64)),
            torch.from_numpy(self.sentences[caption].astype(np.float32)),
        )


def tokenizer_for(data: Collection, vocabulary: int, path: Path) -> Tokenizer:
    """The tokenizer in `path`, trained once on the captions of what is trained on."""
    if not path.exists():
        texts = (caption for item in data.items if item["split"] == "train" for caption in item["captions"])
        write_atomically(path, train_tokenizer(texts, vocabulary).to_str().encode(), 0o644)
    return Tokenizer.from_file(str(path))


def tokenizer_of(checkpoint: Path) -> Tokenizer:
    """That which a checkpoint was trained with. Raises CheckpointError when it is missing or has changed."""
    return Tokenizer.from_str(read_text(checkpoint, "tokenizer.json", read_card(checkpoint)))


def prompt_encoder(config: PromptConfig, data: Collection, own: Path, before: Path | None) -> PromptEncoder:
    """With the tokenizer of the checkpoint before; without one, with that in `own`, of this collection."""
    tokenizer = tokenizer_of(before) if before else tokenizer_for(data, config.text_vocabulary, own)
    return PromptEncoder(tokenizer, config.prompt_length)


def watched_captions(data: Collection, count: int = 12) -> list[str]:
    """A caption each of pictures that are trained on, spread over the collection."""
    chosen = [data.items[i] for i in spread(data.indices("train", recoloured=False), count)]
    return [caption for item in chosen if (caption := item["captions"][0].strip())] or ["?"]
