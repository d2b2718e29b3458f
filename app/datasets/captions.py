"""Captions that come beside pictures: side-car texts, `metadata.jsonl`, CSV; and, failing these, file names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from app.errors import Invalid
from app.media.rows import NAME_COLUMNS, first_text, json_rows, table_rows, tidy

SIDECARS, TABLES = (".txt", ".caption"), (".jsonl", ".csv", ".tsv")
TEXT_COLUMNS = ("text", "caption", "prompt", "description", "tags")
TAG_LENGTH = 40
# Names that cameras and programs give say nothing of the picture.
MEANINGLESS = re.compile(
    r"(img|dsc\w?|image|photo|picture|pic|scan|screenshot|untitled|unnamed|download|file|frame|sample|copy|\d+|[0-9a-f]{6,})",
    re.IGNORECASE,
)


def is_caption_file(name: str, sidecars: bool = True) -> bool:
    """`sidecars`: whether a .txt is a caption, and not a work."""
    return PurePosixPath(name).suffix.lower() in (SIDECARS + TABLES if sidecars else TABLES)


class Captions:
    """Captions by picture. Names are compared without case; a side-car fits every picture with its stem."""

    def __init__(self) -> None:
        self.named: dict[str, str] = {}
        self.stemmed: dict[str, str] = {}
        self.used: set[str] = set()

    def add(self, name: str, content: bytes) -> None:
        """Read one caption file. Raises Invalid when it is not what its name says."""
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Invalid("It is not UTF-8 text") from error
        path = PurePosixPath(name)
        if path.suffix.lower() in SIDECARS:
            self.stemmed[stem(name)] = tidy(text)
            return
        found: dict[str, str] = {}
        for row in json_rows(text) if path.suffix.lower() == ".jsonl" else table_rows(text, path.suffix.lower()):
            picture, caption = first_text(row, NAME_COLUMNS), first_text(row, TEXT_COLUMNS)
            if picture is not None and caption is not None:
                found[str(path.parent / picture).replace("\\", "/").casefold()] = tidy(caption)
        if not found:
            raise Invalid("Its rows need a file_name and a text")
        self.named |= found

    def find(self, name: str) -> str | None:
        key = str(PurePosixPath(name)).casefold()
        for known, table in ((key, self.named), (stem(name), self.stemmed)):
            if known in table:
                self.used.add(known)
                return table[known]
        return None

    def unused(self) -> Captions:
        """Those that no picture was found for."""
        rest = Captions()
        rest.named = {name: text for name, text in self.named.items() if name not in self.used}
        rest.stemmed = {name: text for name, text in self.stemmed.items() if name not in self.used}
        return rest

    def __bool__(self) -> bool:
        return bool(self.named or self.stemmed)


def tags_of(caption: str) -> list[str]:
    """What a caption lists between commas, each once: "red hair, smile, hat" names three things to be seen."""
    parts = (part.strip(" .。").casefold() for part in re.split(r"[,，、;；]", caption))
    return list(dict.fromkeys(part for part in parts if 0 < len(part) <= TAG_LENGTH))


def stem(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / path.stem).casefold()


def from_name(name: str) -> str:
    """What a file is called, or else its folder, in words; empty when both say nothing."""
    path = PurePosixPath(name)
    for part in (path.stem, path.parent.name):
        words = [word for word in re.split(r"[\s_\-.,()\[\]+]+", part) if word and not MEANINGLESS.fullmatch(word)]
        if any(len(word) > 1 and word.isalpha() for word in words):
            return tidy(" ".join(words))
    return ""
