"""What a verse transformer reads and writes: signs, forms, rhyme groups, and characters. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property

PAD, UNKNOWN, BEGIN, TITLE, ACROSTIC = range(5)
SIGNS = ["<pad>", "<unknown>", "<begin>", "<title>", "<acrostic>"]


class Vocabulary:
    """Tokens are numbered in the order: signs, titles of forms, names of rhyme groups, characters."""

    def __init__(self, forms: Sequence[str], groups: Sequence[str], characters: Sequence[str]) -> None:
        self.forms, self.groups, self.characters = list(forms), list(groups), list(characters)

    @classmethod
    def read(cls, text: str) -> Vocabulary:
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(
            {"forms": self.forms, "groups": self.groups, "characters": "".join(self.characters)}, ensure_ascii=False
        )

    def __len__(self) -> int:
        return self.first_character + len(self.characters)

    @property
    def first_character(self) -> int:
        return len(SIGNS) + len(self.forms) + len(self.groups)

    @cached_property
    def numbers(self) -> dict[str, int]:
        return {character: self.first_character + i for i, character in enumerate(self.characters)}

    def form(self, title: str) -> int:
        return len(SIGNS) + self.forms.index(title)

    def group(self, name: str) -> int:
        return len(SIGNS) + len(self.forms) + self.groups.index(name)

    def encode(self, characters: Iterable[str]) -> list[int]:
        return [self.numbers.get(character, UNKNOWN) for character in characters]

    def decode(self, tokens: Iterable[int]) -> str:
        """Characters alone; anything else is left out."""
        first = self.first_character
        return "".join(self.characters[token - first] for token in tokens if token >= first)
