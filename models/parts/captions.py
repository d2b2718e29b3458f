"""The captions of a collection as a training reads them: tokens and sentence vectors, computed once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.checkpoint import read_card, read_text
from models.contract.files import write_atomically
from models.data.pictures import Collection, Indices, spread
from models.parts.prompt_spec import PromptShape
from models.parts.sentences import OnProgress, cached, caption_sentences, captions_from, captions_of
from models.parts.text import PAD, PromptEncoder, train_tokenizer
from models.parts.words import WORDS, Words, words_of

TOKENIZER = "tokenizer.json"


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


def trained_captions(data: Collection) -> Iterator[str]:
    return (caption for item in data.items if item["split"] == "train" for caption in item["captions"])


def tokenizer_for(data: Collection, vocabulary: int, path: Path) -> Tokenizer:
    """The tokenizer in `path`, trained once on the captions of what is trained on."""
    if not path.exists():
        write_atomically(path, train_tokenizer(trained_captions(data), vocabulary).to_str().encode(), 0o644)
    return Tokenizer.from_file(str(path))


def prompt_encoder_of(checkpoint: Path, length: int) -> PromptEncoder:
    """That which a checkpoint was trained with. Raises CheckpointError when a file is missing or has changed."""
    card = read_card(checkpoint)
    tokenizer = Tokenizer.from_str(read_text(checkpoint, TOKENIZER, card))
    words = Words(read_text(checkpoint, WORDS, card).split()) if WORDS in card["files"] else None
    return PromptEncoder(tokenizer, length, words)


def prompt_encoder(config: PromptShape, data: Collection, own: Path, before: Path | None) -> PromptEncoder:
    """With the tokenizer of the checkpoint before; without one, with that in `own`, of this collection."""
    words = words_of(trained_captions(data))
    if before is None:
        return PromptEncoder(tokenizer_for(data, config.text_vocabulary, own), config.prompt_length, words)
    prompts = prompt_encoder_of(before, config.prompt_length)
    if prompts.words:
        prompts.words = Words(prompts.words.words | words.words)
    return prompts


def texts_of(prompts: PromptEncoder) -> dict[str, str]:
    """The files by which `prompt_encoder_of` makes it again."""
    words = {WORDS: str(prompts.words)} if prompts.words else {}
    return {TOKENIZER: prompts.tokenizer.to_str(), **words}


def watched_captions(data: Collection, count: int = 12) -> list[str]:
    """A caption each of pictures that are trained on, spread over the collection."""
    chosen = [data.items[i] for i in spread(data.indices("train", recoloured=False), count)]
    return [caption for item in chosen if (caption := item["captions"][0].strip())] or ["?"]
