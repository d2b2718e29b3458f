"""What the address of a page of the gallery narrows the list to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends
from pydantic import BeforeValidator

from app.artworks.listing import Filter, Order
from app.web.parameters import Flag, Text

Day = Annotated[date | None, BeforeValidator(lambda value: value or None)]


@dataclass(frozen=True)
class Listed:
    """`query` is the address's again, for links that stay in the list; empty where it is all works of one's own."""

    wanted: Filter
    query: dict[str, str]


def named(wanted: Filter) -> dict[str, str]:
    """What pages and API say in the same words: all but days and order."""
    words = {"q": wanted.q, "model": wanted.model, "task": wanted.task, "tag": wanted.tag}
    flags = {"favourite": wanted.favourite, "trashed": wanted.trashed, "studio": wanted.studio}
    said = {name: value for name, value in words.items() if value}
    return said | {name: "true" for name, value in flags.items() if value}


def parameters(wanted: Filter) -> dict[str, str]:
    """The same list in the words of the API."""
    times = {"since": wanted.since, "until": wanted.until}
    said = {name: value.isoformat() for name, value in times.items() if value}
    return named(wanted) | said | {"order": "oldest" if wanted.oldest_first else "newest"}


async def narrowing(
    q: Text = None,
    model: Text = None,
    task: Text = None,
    tag: Text = None,
    favourite: Flag = False,
    trashed: Flag = False,
    studio: Flag = False,
    since: Day = None,
    through: Day = None,
    zone: Text = None,
    order: Order = "newest",
) -> Listed:
    """Days are those of `zone`, the last one included."""
    there = zone_of(zone)
    wanted = Filter(
        q or None,
        model or None,
        task or None,
        tag or None,
        favourite or None,
        trashed,
        studio,
        start_of(since, there) if since else None,
        start_of(through + timedelta(days=1), there) if through and through < date.max else None,
        order == "oldest",
    )
    days = {name: value.isoformat() for name, value in {"since": since, "through": through}.items() if value}
    query = named(wanted) | days | ({"zone": zone} if days and zone else {})
    return Listed(wanted, query | ({"order": order} if wanted.oldest_first else {}))


def zone_of(name: str | None) -> tzinfo:
    """UTC for one that is not known here: browsers know newer ones than systems do."""
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, OSError, ValueError):
        return UTC


def start_of(day: date, zone: tzinfo) -> datetime:
    """In UTC: the very first and last days are beyond what can be told in some zones."""
    try:
        return datetime.combine(day, time.min, zone).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time.min, UTC)


Narrowed = Annotated[Listed, Depends(narrowing)]
