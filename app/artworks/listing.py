"""Lists of artworks: what they are narrowed to, in which order, page by page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.artworks import search
from app.artworks.schemas import ArtworkBrief
from app.artworks.search import facet
from app.artworks.tables import Artwork, SearchDocument
from app.database import first_id
from app.security import Principal
from app.text import folded

Order = Literal["newest", "oldest"]  # by the time of making
COLUMNS = tuple(getattr(Artwork, name) for name in ArtworkBrief.model_fields)
LISTED = select(*COLUMNS, Artwork.user_id)
BRIEFS = TypeAdapter(list[ArtworkBrief])


@dataclass
class Filter:
    """What a list is narrowed to. `since` belongs to it, `until` does not."""

    q: str | None = None
    model: str | None = None
    task: str | None = None
    tag: str | None = None
    favourite: bool | None = None
    trashed: bool = False
    studio: bool = False
    since: datetime | None = None
    until: datetime | None = None
    oldest_first: bool = False

    @property
    def by_column(self) -> dict[str, str | bool]:
        given = {"model": self.model, "task": self.task, "favourite": self.favourite}
        return {name: value for name, value in given.items() if value is not None}


def page(
    session: Session, user: Principal, wanted: Filter, after: str | None, limit: int
) -> tuple[list[ArtworkBrief], str | None]:
    """(its works, id that the next page starts after). One filter is answered by the index of its column, words and
    filters together by search: in either case one reads no more than what is shown.
    """
    bounds = bounds_of(wanted, after)
    if wanted.q or wanted.tag or len(wanted.by_column) + wanted.trashed + wanted.studio > 1:
        numbers = search.found(session, wanted.q or "", facets(user, wanted), bounds, limit + 1)
        query = LISTED.join(Artwork.document).where(SearchDocument.number.in_(numbers))
        order: InstrumentedAttribute[Any] = SearchDocument.number
    else:
        within = Artwork.id >= bounds.lower, Artwork.id < bounds.upper
        query, order = LISTED.where(*conditions(user, wanted), *within), Artwork.id
    rows = session.execute(query.order_by(order if bounds.upwards else order.desc()).limit(limit + 1)).all()
    found = BRIEFS.validate_python([brief(user, row) for row in rows[:limit]])
    return found, found[-1].id if len(rows) > limit else None


def neighbours(session: Session, user: Principal, wanted: Filter, artwork_id: str) -> tuple[str | None, str | None]:
    """Ids of the works before it and after it in a list."""
    reversed_ = replace(wanted, oldest_first=not wanted.oldest_first)
    (before, _), (after, _) = (page(session, user, each, artwork_id, 1) for each in (reversed_, wanted))
    return (before[0].id if before else None), (after[0].id if after else None)


def where_it_is(user: Principal, artwork: Artwork) -> Filter:
    """The list that shows a work to this user."""
    return Filter(studio=artwork.user_id != user.id, trashed=artwork.deleted_at is not None)


def bounds_of(wanted: Filter, after: str | None) -> search.Bounds:
    """Ids sort by the time of making."""
    lowers = [first_id(wanted.since) if wanted.since else "", f"{after}0" if after and wanted.oldest_first else ""]
    uppers = [first_id(wanted.until) if wanted.until else "g", after if after and not wanted.oldest_first else "g"]
    return search.Bounds(max(lowers), min(uppers), wanted.oldest_first)


def conditions(user: Principal, wanted: Filter) -> list[ColumnElement[bool]]:
    made: list[ColumnElement[bool]] = [getattr(Artwork, name) == value for name, value in wanted.by_column.items()]
    if wanted.studio:
        return [*made, Artwork.visibility == "studio", Artwork.deleted_at.is_(None)]
    kept = Artwork.deleted_at.is_not(None) if wanted.trashed else Artwork.deleted_at.is_(None)
    return [*made, Artwork.user_id == user.id, kept]


def facets(user: Principal, wanted: Filter) -> list[str]:
    made = [facet(name, value) for name, value in wanted.by_column.items()]
    made += [facet("tag", folded(wanted.tag))] if wanted.tag else []
    made += [facet("shared", True)] if wanted.studio else []
    if wanted.studio and wanted.favourite is None:
        return made
    # Whom others' works please is no one else's business.
    return [*made, facet("trashed" if wanted.trashed else "kept", user.id)]


def brief(user: Principal, row: Any) -> dict[str, Any]:
    """As this user may see it: a shared work does not tell others whom it pleases."""
    values: dict[str, Any] = row._asdict()
    if values.pop("user_id") != user.id:
        values["favourite"] = False
    return values
