"""Text as people see it: what looks the same is the same, and what shows nothing is left out. Knows no language."""

from __future__ import annotations

import unicodedata

CONTROLS = ("Cc", "Cs")  # joiners, which Indic scripts and emoji need, and private signs stay
# Embeddings and overrides turn what follows around: a label that holds one can pretend to be another.
TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def composed(text: str) -> str:
    """In the one form (NFC) that most of the world types; macOS decomposes the names of files."""
    return unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """The same for all that people see as one text, whatever its case and form: to compare, not to show."""
    return composed(composed(text).casefold())


def shown(text: str) -> str:
    """Without characters that show nothing or turn the rest around."""
    kept = "".join(c for c in text if c not in TURNS and unicodedata.category(c) not in CONTROLS)
    return composed(kept)


def is_word(word: str) -> bool:
    """Whether it may say something: two letters, or one sign that is a word by itself (a Han character, an emoji)."""
    kinds = [unicodedata.category(c) for c in word]
    return any(kind in ("Lo", "So") for kind in kinds) or sum(kind[0] == "L" for kind in kinds) > 1
