"""Texts: kept as UTF-8 in one normal form; a file is one work, and so is each row of a table of them."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from app.errors import Invalid, UnsupportedMedia
from app.media.medium import SAYS_NOTHING, Kept, Medium, Row, Tables, Words
from app.media.rows import NAME_COLUMNS, first_text, json_rows, table_rows, tidy, unicode_text
from app.text import CONTROLS
from models.contract.message import Message
from models.contract.values import TEXTS, Text

SUFFIXES, TABLES = (".txt", ".md"), (".jsonl", ".csv", ".tsv")
TEXT_COLUMNS, TITLE_COLUMNS = ("text", "content", "body", "paragraphs"), ("title", "caption", "name")
MOST = 16 << 20
EXCERPT = 160
PLAIN = "text/plain"
SIGNATURE, LONGEST_SIGNATURE = "<!-- danqing {} -->\n", 1 << 20
SIGNED = re.compile(rb"<!-- danqing (\{.*\}) -->\n?\Z")


def read(content: bytes, name: str) -> Kept:
    if not name.lower().endswith(SUFFIXES):
        raise UnsupportedMedia("The file is not a .txt or .md text, nor a .jsonl or .csv table of texts")
    text = normal(decoded(content))
    if not text:
        raise Invalid("The file is empty")
    letters = "".join(c for c in text.casefold() if c.isalnum())
    alike = hashlib.sha256(letters.encode()).hexdigest()[:24]
    return Kept((text + "\n").encode(), PLAIN, alike, facts=facts_of(text))


def facts_of(text: str) -> dict[str, Any]:
    return {"characters": len(text), "lines": text.count("\n") + 1, "excerpt": text[:EXCERPT]}


def decoded(content: bytes) -> str:
    """Raises Invalid."""
    text = unicode_text(content)
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
            yield Row(b"", "", Message("The row has no text"))


def encode(work: Text) -> Kept:
    text = normal(work.text)
    return Kept((text + "\n").encode(), PLAIN, facts=facts_of(text))


def sign(content: bytes, provenance: dict[str, Any]) -> bytes:
    """A last line that readers pass over says how it was made."""
    return content + SIGNATURE.format(json.dumps(provenance, ensure_ascii=True).replace("--", "-\\u002d")).encode()


def signed(content: bytes) -> dict[str, Any]:
    found = SIGNED.search(content[-LONGEST_SIGNATURE:])
    try:
        said = json.loads(found[1]) if found else None
    except (ValueError, RecursionError) as error:
        raise Invalid(SAYS_NOTHING) from error
    if not isinstance(said, dict):
        raise Invalid(SAYS_NOTHING)
    return said


def bare(content: bytes) -> str:
    """The text without that line."""
    return SIGNED.sub(b"", content).decode().rstrip("\n")


MEDIUM = Medium(
    TEXTS,
    {PLAIN: ".txt"},
    read,
    encode=encode,
    decode=lambda content, media_type: Text(bare(content)),
    suffixes=SUFFIXES,
    sign=sign,
    signed=signed,
    most_bytes=lambda: MOST,
    words=Words(
        Message("Texts"),
        Message("This has to be a text"),
        Message("Drop texts, a folder or a zip here"),
        Message("Length"),
        lambda text: Message("{characters} characters", characters=text.facts["characters"]),
        Message(
            "Each file (.txt, .md) is one work, and so is each row of a table (.jsonl, .csv) with a “text” column."
        ),
        Message("Write"),
    ),
    extent="characters",
    unit=Message("characters"),
    totals={"characters": Message("Characters"), "lines": Message("Lines")},
    sidecars=False,
    tables=Tables(TABLES, rows, ".txt"),
)
