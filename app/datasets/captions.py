"""Captions that come beside pictures: side-car texts, `metadata.jsonl`, CSV; and, failing these, file names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from app.errors import Invalid
from app.media.rows import NAME_COLUMNS, cut, first_text, json_rows, table_rows, tidy, unicode_text
from app.text import composed, folded, is_word
from models.contract.message import Message

SIDECARS, TABLES = (".txt", ".caption"), (".jsonl", ".csv", ".tsv")
TEXT_COLUMNS = ("text", "caption", "prompt", "description", "tags")
TAG_LENGTH = 40
# Names that cameras and programs give say nothing of the picture.
MEANINGLESS = re.compile(
    r"(img|dsc\w?|dcim|pxl|mvimg|vid|mov|wp|image|photo|picture|pic|scan|screenshot|screen|shot|untitled|unnamed|download|file"
    r"|frame|sample|copy|new|tmp|temp|mmexport|wechat|wx|图片|图像|照片|相片|微信图片|截图|截屏|屏幕截图|未命名|未标题|下载|副本|新建)\d*"
    r"|\d+|(?=[a-f]*\d)[0-9a-f]{4,}",
    re.IGNORECASE,
)
RANDOM = 8  # ASCII characters, from which on a word of letters among digits is an identifier


def is_caption_file(name: str, sidecars: bool = True) -> bool:
    """`sidecars`: whether a .txt is a caption, and not a work."""
    return PurePosixPath(name).suffix.lower() in (SIDECARS + TABLES if sidecars else TABLES)


class Captions:
    """Captions by picture. Names are compared as people see them; a side-car fits every picture with its stem."""

    def __init__(self) -> None:
        self.named: dict[str, str] = {}
        self.stemmed: dict[str, str] = {}
        self.origin: dict[str, str] = {}  # what a name was called where it came from
        self.used: set[str] = set()
        self.cut: dict[str, Message] = {}  # by name, what is said of captions that are too long

    def add(self, name: str, content: bytes) -> None:
        """Read one caption file. Raises Invalid when it is not what its name says."""
        text = unicode_text(content)
        path = PurePosixPath(name)
        if path.suffix.lower() in SIDECARS:
            self.keep(self.stemmed, stem(name), name, text)
            return
        found: dict[str, tuple[str, str]] = {}
        for row in json_rows(text) if path.suffix.lower() == ".jsonl" else table_rows(text, path.suffix.lower()):
            picture, caption = first_text(row, NAME_COLUMNS), first_text(row, TEXT_COLUMNS)
            if picture is not None and caption is not None:
                found[key(str(path.parent / picture.replace("\\", "/")))] = picture, caption
        if not found:
            raise Invalid("Its rows need a file_name and a text")
        for known, (picture, caption) in found.items():
            self.keep(self.named, known, picture, caption)

    def keep(self, table: dict[str, str], known: str, name: str, text: str) -> None:
        table[known], self.origin[known] = tidy(text), name
        if remark := cut(text):
            self.cut[name] = remark

    def find(self, name: str) -> str | None:
        for known, table in ((key(name), self.named), (stem(name), self.stemmed)):
            if known in table:
                self.used.add(known)
                return table[known]
        return None

    def unused(self) -> Captions:
        """Those that no picture was found for."""
        rest = Captions()
        rest.named = {name: text for name, text in self.named.items() if name not in self.used}
        rest.stemmed = {name: text for name, text in self.stemmed.items() if name not in self.used}
        rest.origin = self.origin
        return rest

    def names(self) -> list[str]:
        """What they are for, as they were called."""
        return [self.origin[known] for table in (self.named, self.stemmed) for known in table]

    def __bool__(self) -> bool:
        return bool(self.named or self.stemmed)


def tags_of(caption: str) -> list[str]:
    """What a caption lists between commas, each once: "red hair, smile, hat" names three things to be seen."""
    parts = (part.strip(" .。").casefold() for part in re.split(r"[,，、;；]", caption))
    return list(dict.fromkeys(part for part in parts if 0 < len(part) <= TAG_LENGTH))


def key(name: str) -> str:
    return folded(str(PurePosixPath(name)))


def stem(name: str) -> str:
    path = PurePosixPath(name)
    return folded(str(path.parent / path.stem))


def from_name(name: str) -> str:
    """What a file is called, or else its folder, in words; empty when both say nothing."""
    path = PurePosixPath(composed(name))
    for part in (path.stem, path.parent.name):
        words = [word for word in re.split(r"[\s_\-.,()\[\]+]+", part) if word and says_something(word)]
        if any(is_word(word) for word in words):
            return tidy(" ".join(words))
    return ""


def says_something(word: str) -> bool:
    if MEANINGLESS.fullmatch(word):
        return False
    # An identifier: letters and digits take turns in it, or it has capitals within.
    turns = len(re.findall(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", word, re.IGNORECASE))
    return not (len(word) >= RANDOM and word.isascii() and turns > 1)
