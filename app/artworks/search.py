"""Finding works by words: FTS5 on SQLite, a GIN index over a `tsvector` on PostgreSQL, behind one function.

A work's document holds its words as tokens (see `words`), and as tokens too its facets: whose it is, whether it is in
the trash, its model, task and tags. So a search with filters is one look into one index, in the order of making.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, column, func, literal_column, select, table
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.artworks import words
from app.artworks.tables import Artwork, SearchDocument
from app.text import folded

FACETS = {"kept": "u", "trashed": "t", "shared": "p", "model": "m", "task": "k", "tag": "g", "favourite": "f"}
BREAK = "s"  # no phrase goes over it; like a facet it is no word, which begins with w or x
END = 1 << 62  # a number after every document's
NEAR = 3_000  # documents among which a page of a frequent word is looked for without the index of words
INDEX = table("search_index", column("rowid"))  # of SQLite; PostgreSQL has a column of the documents


@dataclass(frozen=True)
class Bounds:
    """Ids from the lower on, before the upper; in which direction they are read."""

    lower: str
    upper: str
    upwards: bool


@dataclass(frozen=True)
class Span:
    """Numbers from the lower on, before the upper; in which direction they are read."""

    lower: int
    upper: int
    upwards: bool

    def select(self, number: ColumnElement[int] | InstrumentedAttribute[int], limit: int) -> Select[Any]:
        order = number if self.upwards else number.desc()
        return select(number).where(number >= self.lower, number < self.upper).order_by(order).limit(limit)

    def near(self, first: int) -> Span:
        if self.upwards:
            return replace(self, upper=min(self.upper, first + NEAR))
        return replace(self, lower=max(self.lower, first - NEAR))


def facet(kind: str, value: str | bool) -> str:
    return f"{FACETS[kind]}{str(value).encode().hex()}"


def facets(work: Artwork) -> list[str]:
    return [
        facet("trashed" if work.deleted_at else "kept", work.user_id),
        facet("shared", work.visibility == "studio" and not work.deleted_at),
        facet("model", work.model),
        facet("task", work.task),
        facet("favourite", bool(work.favourite)),
        *(facet("tag", folded(tag)) for tag in work.tags),
    ]


def document(work: Artwork) -> str:
    """The tokens of a work; its model's name for want of a subject."""
    said = [work.title, work.subject or work.model.replace("-", " "), *work.tags]
    tokens = facets(work)
    for part in [*said, *words.elsewhere("\n".join(said))]:
        tokens += [*words.tokens(part), BREAK]
    return " ".join(tokens)


def index(work: Artwork) -> None:
    """To be called when a work is made, and when something of it has changed."""
    made = document(work)
    if work.document is None:
        work.document = SearchDocument(words=made)
    else:
        work.document.words = made


def found(session: Session, query: str, facets: list[str], bounds: Bounds, limit: int) -> list[int]:
    """Numbers of the first documents that have all facets and all words of a query, each of which may be unfinished."""
    phrases = words.phrases(query)
    if query.strip() and not phrases:
        return []  # it is of signs alone
    on = of_postgresql if session.get_bind().dialect.name == "postgresql" else of_sqlite
    within = Span(number_at(session, bounds.lower), number_at(session, bounds.upper), bounds.upwards)
    return on(session, facets, phrases, within, limit)


def number_at(session: Session, artwork_id: str) -> int:
    """Of the first document from this work on. Numbers are given in the order of making, as ids are."""
    first = select(SearchDocument.number).where(SearchDocument.artwork_id >= artwork_id)
    found = session.scalar(first.order_by(SearchDocument.artwork_id).limit(1))
    return END if found is None else found


def of_sqlite(session: Session, facets: list[str], phrases: list[list[str]], within: Span, limit: int) -> list[int]:
    """FTS5 walks the lists of all words side by side in their order, which is that of the numbers."""
    parts = [*facets, *spelled(phrases, " + ", " *")]
    matches = literal_column("search_index").op("MATCH", is_comparison=True)(" AND ".join(parts))
    return list(session.scalars(within.select(INDEX.c.rowid, limit).where(matches)))


def of_postgresql(session: Session, facets: list[str], phrases: list[list[str]], within: Span, limit: int) -> list[int]:
    """GIN knows no order, so that it sorts whatever it finds. What is frequent is therefore looked for among the
    nearest documents first, one by one, and GIN is asked for what is rare.
    """
    parts = [*facets, *spelled(phrases, " <-> ", ":*")]
    wanted = func.to_tsquery(literal_column("'simple'::regconfig"), " & ".join(parts))
    matches = literal_column("search_documents.vector").op("@@", is_comparison=True)(wanted)
    first = session.scalar(within.select(SearchDocument.number, 1))
    if first is None:
        return []
    near = list(session.scalars(within.near(first).select(SearchDocument.number, limit).where(matches)))
    if len(near) == limit:
        return near
    by_gin = SearchDocument.number + literal_column("0")  # no order that an index of numbers has
    return list(session.scalars(within.select(by_gin, limit).where(matches)))


def spelled(phrases: list[list[str]], followed_by: str, and_on: str) -> list[str]:
    return [followed_by.join(each) + (and_on if words.may_go_on(each[-1]) else "") for each in phrases]
