"""Names of people: no two that look alike, none with what cannot be seen."""

from __future__ import annotations

import unicodedata

from app.text import TURNS, composed
from models.contract.message import Message

# Scripts whose letters are written side by side in one name; any other script stands alone.
TOGETHER = {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"}
# Small letters of other scripts that look like those of Latin.
ALIKE = str.maketrans(
    "аеорсухіјѕԁһѵԛԝқүԍɡαοριυνκτχωϲϳıȷ",
    "aeopcyxijsdhvqwkyggaopiuvktxwcjij",
)


def key_of(name: str) -> str:
    """The same for names that people take for one: whatever their case, width, form and script."""
    return composed(unicodedata.normalize("NFKC", name).casefold()).translate(ALIKE)


def problem(name: str) -> Message | None:
    """Why a name is none that others can read and type."""
    if any(c in TURNS or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in name):
        return Message("This name has characters that cannot be seen")
    if any(unicodedata.category(c) == "Zs" and c != " " for c in name) or "  " in name:
        return Message("This name has unusual spaces")
    if unicodedata.category(name[0])[0] == "M" or marks(name) > 3:
        return Message("This name has too many marks on its letters")
    scripts = {script(c) for c in name if unicodedata.category(c)[0] == "L"}
    if len(scripts) > 1 and not scripts <= TOGETHER:
        return Message("This name mixes letters of several scripts that look alike")
    return None


def marks(name: str) -> int:
    """The most combining marks in a row."""
    most = row = 0
    for c in unicodedata.normalize("NFD", name):
        row = row + 1 if unicodedata.category(c) == "Mn" else 0
        most = max(most, row)
    return most


def script(letter: str) -> str:
    name = unicodedata.name(unicodedata.normalize("NFKC", letter)[:1] or letter, "?")
    return name.split(" ")[0]
