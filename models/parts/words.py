"""Which words a model has met: those of the captions that it was trained on.

A word counts as met in whatever form it is bent (`cats`, `running`); of a script that puts no spaces between words,
every character by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby

from opencc import OpenCC
from snowballstemmer import stemmer

from models.parts.sentences import normalize

WORDS = "words.txt"
ENGLISH = stemmer("english")
ALONE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0eff]")
LETTER = f"(?!{ALONE.pattern})[^\\W_]"
RUNS = re.compile(f"{ALONE.pattern}+|(?:{LETTER})+(?:'(?:{LETTER})+)*")
# What a prompt says without meaning a thing by it; nobody wants to hear that a model does not know "and".
TEXT = """
a about above after again against all also am an and any are as at be because been before being below between both but
by can could did do does doing down during each few for from had has have he her here hers him his how i if in into is
it its itself just like made make makes me more most my near next no nor not of off on once only or other our out over
own please she so some such than that the their them then there these they this those through to too under until up upon
very was we were what when where which while who whom why will with without would you your draw drawing picture image
photo painting one two three
的 了 在 是 和 与 及 或 有 着 把 被 让 给 对 从 到 个 只 一 二 两 三 这 那 我 你 他 她 它 们 请 画 张 幅 很 都 也
"""
FUNCTION_WORDS = frozenset(TEXT.split())


def pieces(text: str) -> list[str]:
    """Its words, and its characters that are words by themselves."""
    return [piece for run in runs(text) for piece in (run if ALONE.match(run) else [run])]


def runs(text: str) -> list[str]:
    """Its words, but what has a digit, and runs of characters that are words by themselves."""
    found = RUNS.findall(normalize(text).replace("’", "'"))
    return [run for run in found if not any(map(str.isdigit, run))]


class Words:
    """Words of captions, which `str` puts into a file, a line each."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)

    def __str__(self) -> str:
        return "".join(f"{word}\n" for word in sorted(self.words))

    def __contains__(self, piece: str) -> bool:
        return piece in self.words or piece in FUNCTION_WORDS or stem(piece) in self.stems

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(map(stem, self.words))

    def unknown(self, text: str) -> list[str]:
        """What of a text no caption had, in its order, each once; characters that stand together are one."""
        found = list[str]()
        for run in runs(text):
            if not ALONE.match(run):
                found += [] if run in self else [run]
                continue
            found += ["".join(part) for known, part in groupby(run, self.__contains__) if not known]
        return list(dict.fromkeys(found))

    def respelled(self, text: str) -> str:
        """With each Chinese character that no caption had in its simplified form, where one had that."""
        if not ALONE.search(text):
            return text
        simplified = OpenCC("t2s").convert(text)
        if len(simplified) != len(text):
            return text
        return "".join(
            other if other in self.words and one not in self.words else one
            for one, other in zip(text, simplified, strict=True)
        )


def stem(piece: str) -> str:
    return str(ENGLISH.stemWord(piece)) if piece.isascii() else piece


def words_of(texts: Iterable[str]) -> Words:
    return Words({piece for text in texts for piece in pieces(text)})
