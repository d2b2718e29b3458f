"""Rows of tables that strangers wrote: JSON Lines and comma-separated values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from app.errors import Invalid
from app.text import shown
from models.contract.message import Message

NAME_COLUMNS = ("file_name", "filename", "file", "image")
LENGTH = 1000  # characters of a caption


def unicode_text(content: bytes) -> str:
    """UTF-8, or UTF-16 that says so. Raises Invalid."""
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("It is not UTF-8 text") from error


def first_text(row: dict[str, object], columns: tuple[str, ...]) -> str | None:
    return next((text for column in columns if (text := as_text(row.get(column))) is not None), None)


def as_text(value: object) -> str | None:
    """A text as it is, a list of texts with commas between them."""
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return value if isinstance(value, str) else None


# Both give row by row: as objects, rows take a hundred times the room of their text.


def json_rows(text: str) -> Iterator[dict[str, object]]:
    # Not splitlines(), which splits at U+2028 inside of a caption too.
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Invalid("Line {number} is not JSON", number=number) from error
            if not isinstance(row, dict):
                raise Invalid("Its rows need a file_name and a text")
            yield row


def table_rows(text: str, suffix: str) -> Iterator[dict[str, object]]:
    header = text.partition("\n")[0]
    delimiter = "\t" if suffix == ".tsv" else max(",;\t", key=header.count)  # spreadsheets of many countries write ;
    try:
        for row in csv.DictReader(io.StringIO(text), delimiter=delimiter):
            yield {(key or "").strip().lower(): value for key, value in row.items()}
    except csv.Error as error:
        raise Invalid("It is not a table of comma-separated values") from error


def tidy(text: str) -> str:
    """One line, without what shows nothing, as long as a caption may be; see `cut`."""
    return one_line(text)[:LENGTH].rstrip()


def one_line(text: str) -> str:
    text = text[: 8 * LENGTH]  # no caption is so long; a hostile one may be
    return " ".join(shown("".join(" " if c.isspace() else c for c in text)).split())


def cut(text: str) -> Message | None:
    """What is to be said of a caption that `tidy` shortens."""
    whole = len(text) if len(text) > 8 * LENGTH else len(one_line(text))
    if whole <= LENGTH:
        return None
    return Message("Its caption has {count} characters; the first {most} were kept", count=whole, most=LENGTH)
