"""Texts: kept as UTF-8 in one normal form; a file is one work, and so is each row of a table of them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator

from app.errors import Invalid, UnsupportedMedia
from app.media.medium import Kept, Kind, Row, Tables
from app.media.rows import NAME_COLUMNS, first_text, json_rows, table_rows, tidy

SUFFIXES, TABLES = (".txt", ".md"), (".jsonl", ".csv", ".tsv")
TEXT_COLUMNS, TITLE_COLUMNS = ("text", "content", "body", "paragraphs"), ("title", "caption", "name")
MOST = 16 << 20
EXCERPT = 160
CONTROLS = ("Cc", "Cs")  # joiners, Chinese spaces and private signs stay


def read(content: bytes, name: str) -> Kept:
    if not name.lower().endswith(SUFFIXES):
        raise UnsupportedMedia("The file is not a .txt or .md text, nor a .jsonl or .csv table of texts")
    text = normal(decoded(content))
    if not text:
        raise Invalid("The file is empty")
    letters = "".join(c for c in text.casefold() if c.isalnum())
    facts = {"characters": len(text), "lines": text.count("\n") + 1, "excerpt": text[:EXCERPT]}
    alike = hashlib.sha256(letters.encode()).hexdigest()[:24]
    return Kept((text + "\n").encode(), "text/plain", alike, facts=facts)


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 that says so. Raises Invalid."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("It is not UTF-8 text") from error
    if "\0" in text:
        raise Invalid("It is not text")
    return text


def normal(text: str) -> str:
    """NFC, lines that end in \\n, no control characters, no space at a line's end, nothing empty at both ends."""
    lines = unicodedata.normalize("NFC", text).splitlines()
    kept = ("".join(c for c in line.replace("\t", " ") if unicodedata.category(c) not in CONTROLS) for line in lines)
    return "\n".join(line.rstrip() for line in kept).strip("\n")


def rows(content: bytes, suffix: str) -> Iterator[Row]:
    """Every row of a table of works; nothing of a table of captions, which its first row tells. Raises Invalid."""
    text = decoded(content)
    for number, row in enumerate(json_rows(text) if suffix == ".jsonl" else table_rows(text, suffix)):
        if number == 0 and first_text(row, NAME_COLUMNS) is not None:
            return
        lines = next((row[column] for column in TEXT_COLUMNS if row.get(column)), None)
        work = "\n".join(map(str, lines)) if isinstance(lines, list) else lines
        if isinstance(work, str):
            titles = [str(row[column]) for column in (*TITLE_COLUMNS, "author") if isinstance(row.get(column), str)]
            yield Row(work.encode("utf-8", "replace"), tidy(" · ".join(titles)))
        else:
            yield Row(b"", "", "The row has no text")


KIND = Kind(
    "texts",
    read,
    most_bytes=lambda: MOST,
    extent="characters",
    unit="characters",
    totals=("characters", "lines"),
    sidecars=False,
    tables=Tables(TABLES, rows, ".txt"),
)
