"""Prompts to numbers: sub-word tokens of our own, and a multilingual sentence embedding from a pinned package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from emoji import replace_emoji
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models.contract.message import Message
from models.parts.sentences import SentenceEncoder, normalize
from models.parts.words import Words

KNOWN_TOKENS = 2  # of an emoji that captions had; its bytes are three and more
MOST_NAMED, MOST_SHOWN = 6, 24  # words that a remark names, characters of each
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
    """Both views of a prompt: (tokens, sentence). `words` are those of the training, where they are known."""

    def __init__(self, tokenizer: Tokenizer, length: int, words: Words | None = None) -> None:
        self.tokenizer, self.length, self.words, self.sentences = tokenizer, length, words, SentenceEncoder()

    def tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, length), PAD after the end."""
        rows = np.full((len(texts), self.length), PAD, dtype=np.int64)
        for row, encoding in zip(rows, self.tokenizer.encode_batch([normalize(t) for t in texts]), strict=True):
            ids = encoding.ids[: self.length]
            row[: len(ids)] = ids
        return rows

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Of prompts: an emoji is read as its name, which more captions have than the emoji itself."""
        spelled = [self.spelled(text) for text in texts]
        return self.tokens(spelled), self.sentences.encode(spelled)

    def spelled(self, text: str) -> str:
        text = replace_emoji(text, self.read_as)
        return self.words.respelled(text) if self.words else text

    def read_as(self, emoji: str, facts: dict[str, str]) -> str:
        """Itself where captions had it, and have words of its name that they had not."""
        name = name_of(facts)
        has_name = self.words is not None and not self.words.unknown(name)
        return emoji if self.knows(emoji) and not has_name else f" {name} "

    def remark(self, text: str) -> Message | None:
        """What is to be said of a prompt that is longer than what the model reads, or holds words new to it."""
        spelled = self.spelled(text)
        count = len(self.tokenizer.encode(normalize(spelled)).ids)
        if count > self.length:
            return Message(
                "The prompt has {count} tokens, and the model reads {most}: its end had little effect",
                count=count,
                most=self.length,
            )
        unknown = self.words.unknown(spelled) if self.words else []
        if not unknown:
            return None
        shown = ", ".join(word[:MOST_SHOWN] for word in unknown[:MOST_NAMED])
        if len(unknown) > MOST_NAMED:
            more = len(unknown) - MOST_NAMED
            return Message("Words that the model was not trained on: {words} and {more} more", words=shown, more=more)
        return Message("Words that the model was not trained on: {words}", words=shown)

    def knows(self, emoji: str) -> bool:
        """Whether the tokenizer has learnt to write it: one that it never saw is a token a byte."""
        return len(self.tokenizer.encode(normalize(emoji)).ids) <= KNOWN_TOKENS


def name_of(facts: dict[str, str]) -> str:
    """The name of an emoji in the Unicode Common Locale Data Repository: `:red_heart:` -> red heart."""
    return facts["en"].strip(":").replace("_", " ").replace("-", " ")
