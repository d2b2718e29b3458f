"""Plays as a language model reads and writes them: a name in capitals, what is said, an empty line. Torch-free."""

from __future__ import annotations

import re

from models.contract.writing import is_name, starts_speech

SPEAKER = re.compile(r"^\*\*(.+?)\*\*\s*$")
DIRECTION = re.compile(r"^_(.+)_$")
HEADING = re.compile(r"^#+\s*(.+)$")


def plain(text: str) -> str:
    """Of a play in Markdown: headings between lines of their own, stage directions in brackets, speeches apart."""
    made: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        if found := SPEAKER.match(line):
            made += ["", found[1].upper()]
        elif found := DIRECTION.match(line):
            made += ["", f"[{found[1]}]"]
        elif found := HEADING.match(line):
            made += ["", found[1].upper() if len(found[1]) < 12 else found[1]]
        elif line:
            made.append(line.replace("_", ""))
    return "\n".join(made).strip() + "\n"


def speech(speaker: str, words: str) -> str:
    """As it begins: nothing follows yet."""
    return f"{speaker.strip().upper()}\n{words.strip()}"


def ends_with_name(text: str) -> bool:
    """Whether somebody is about to speak."""
    return text.endswith("\n") and is_name(text[:-1].rsplit("\n", 1)[-1])


def until(text: str, speeches: int) -> str:
    """A scene up to where one more begins to speak; stage directions are no speeches."""
    parts = text.split("\n\n")
    begun = [i for i, part in enumerate(parts) if starts_speech(part)]
    return "\n\n".join(parts[: begun[speeches]]) if len(begun) > speeches else text
