"""Works are found by their words, whatever the language, and lists read no more than what they show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text

from app.artworks import listing, search, selection, service
from app.artworks.listing import Filter
from app.artworks.schemas import ArtworkChange, Selection
from app.artworks.tables import Artwork, SearchDocument
from app.database import engine, first_id, new_id, session_scope
from app.errors import Conflict
from app.security import Principal
from app.users.tables import User

pytestmark = pytest.mark.usefixtures("in_process")


def user_of(name: str) -> Principal:
    with session_scope() as session:
        row = User(id=new_id(), name=name, name_key=name, role="artist")
        session.add(row)
        return Principal(id=row.id, name=name, role="artist", via="session")


def made(user: Principal, subject: str = "", **values: Any) -> str:
    with session_scope() as session:
        row = Artwork(
            **{"id": new_id(), "user_id": user.id, "sha256": "0" * 64, "media_type": "image/png", "size_bytes": 1}
            | {"subject": subject, "model": "emoji-mixing", "task": "text-to-image", "provenance": {}, "title": ""}
            | {"tags": [], "visibility": "private"}
            | values
        )
        session.add(row)
        search.index(row)
        return row.id


def found(user: Principal, q: str | None = None, **wanted: Any) -> list[str]:
    with session_scope(writing=False) as session:
        works, _ = listing.page(session, user, Filter(q, **wanted), None, 50)
        return [work.title or work.subject for work in works]


@pytest.fixture
def user() -> Principal:
    return user_of("painter")


@pytest.mark.parametrize(
    ("subject", "query"),
    [
        ("a guitar on a chair", "吉他"),
        ("三把吉他", "guitar"),
        ("a full moon", "月亮"),
        ("月亮下的城", "moon"),
        ("龍", "龙"),
        ("一條龙", "龍"),
        ("a dragon", "龍"),
        ("a red kite", "红"),
        ("一只红狐", "red"),
        ("两只红狐狸", "狐狸"),
        ("两只红狐狸", "红狐"),
        ("🦊", "fox"),
        ("a fox in the snow", "🦊"),
        ("🦊", "狐狸"),
        ("foxes", "狐狸"),
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "CAF\u00c9"),
        ("caf\u00e9", "cafe"),
        ("ＦＯＸ", "fox"),
        ("a fox in the snow", "sno"),
        ("Зимний лес", "зимн"),
        ("ピアノを弾く猫", "弾く"),
        ("pixel_art", "art"),
        ("Don't stop", "don't"),
    ],
)
def test_a_word_is_found(user: Principal, subject: str, query: str) -> None:
    made(user, subject)
    made(user, "a house")
    assert found(user, query) == [subject]


@pytest.mark.parametrize(
    "query", ["狸狐", "ox", "吉它", "fox house", "!!!", "wfox", "u", 'fox" OR "house', "fox*house", "NOT"]
)
def test_another_is_not(user: Principal, query: str) -> None:
    """Characters in another order, the end of a word, words of two works, signs, and what the index writes itself."""
    made(user, "两只狐狸, a fox")
    made(user, "a house")
    assert found(user, query) == []


def test_a_phrase_does_not_go_from_one_tag_into_the_next(user: Principal) -> None:
    made(user, "x", tags=["红", "狐狸"])
    assert found(user, "狐狸") == ["x"] and found(user, "红狐") == []


def test_what_changes_is_found_by_what_it_is_now(user: Principal) -> None:
    first, second = made(user, "a fox"), made(user, "a fox", title="Second")
    with session_scope() as session:
        service.change(
            service.get(session, user, first, writing=True), ArtworkChange(title="First", tags=["Winter", "a,b"[:1]])
        )
        service.trash(service.get(session, user, second, writing=True))
    assert (
        found(user, "first fox") == ["First"]
        and found(user, tag="winter") == ["First"]
        and found(user, tag="wint") == []
    )
    assert found(user, "fox", trashed=True) == ["Second"] and found(user, "second") == []
    with session_scope() as session:
        service.restore(service.get(session, user, second, writing=True))
        service.change(service.get(session, user, first, writing=True), ArtworkChange(title="Third", favourite=True))
    assert found(user, "first") == [] and found(user, "fox") == ["Second", "Third"]
    assert found(user, "fox", favourite=True) == ["Third"] and found(user, "fox", favourite=False) == ["Second"]
    with session_scope() as session:
        session.delete(session.get_one(Artwork, first))
        assert session.scalar(select(SearchDocument).where(SearchDocument.artwork_id == first)) is None
    assert found(user, "third") == []


def test_others_works_are_found_where_they_are_shared_only(user: Principal) -> None:
    other = user_of("other")
    made(other, "a private fox", favourite=True)
    made(other, "a shared fox", visibility="studio", favourite=True)
    made(user, "my fox", visibility="studio", favourite=True)
    assert found(user, "fox") == ["my fox"]
    assert found(user, "fox", studio=True) == found(user, studio=True) == ["my fox", "a shared fox"]
    assert found(user, "fox", studio=True, favourite=True) == found(user, studio=True, favourite=True) == ["my fox"]


def test_order_dates_and_pages_are_the_same_with_words_and_without(user: Principal) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for day in range(9):
        identifier = first_id(start + timedelta(days=day))
        made(user, f"fox {day}", id=identifier, created_at=start + timedelta(days=day))
    for q in (None, "fox"):
        for oldest_first in (False, True):
            wanted = Filter(
                q, since=start + timedelta(days=1), until=start + timedelta(days=7), oldest_first=oldest_first
            )
            pages, after = [], None
            with session_scope(writing=False) as session:
                while True:
                    works, after = listing.page(session, user, wanted, after, 4)
                    pages.append([work.subject for work in works])
                    if after is None:
                        break
            days = range(1, 7) if oldest_first else range(6, 0, -1)
            named = [f"fox {day}" for day in days]
            assert pages == [named[:4], named[4:]], (q, oldest_first)


# --- how it is read -------------------------------------------------------------------------------------------------

LISTS = {
    "ix_artworks_user": Filter(),
    "ix_artworks_model": Filter(model="emoji-mixing"),
    "ix_artworks_task": Filter(task="text-to-image"),
    "ix_artworks_favourite": Filter(favourite=True),
    "ix_artworks_trash": Filter(trashed=True),
    "ix_artworks_visibility": Filter(studio=True),
}


@pytest.fixture
def plans(user: Principal) -> Iterator[list[str]]:
    """What SQLite says of how it reads each statement."""
    if engine().dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by how many rows there are: the benchmark measures it")
    made: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith("SELECT"):
            rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            made.append("\n".join(row[3] for row in rows))

    event.listen(engine(), "before_cursor_execute", explain)
    yield made
    event.remove(engine(), "before_cursor_execute", explain)


@pytest.mark.parametrize(("index", "wanted"), LISTS.items())
def test_each_list_is_read_in_its_order_from_an_index(
    user: Principal, plans: list[str], index: str, wanted: Filter
) -> None:
    for oldest_first in (False, True):
        wanted.oldest_first = oldest_first
        plans.clear()
        with session_scope(writing=False) as session:
            listing.page(session, user, wanted, new_id(), 50)
        plan = plans[-1]
        assert index in plan and "SCAN artworks" not in plan and "SCAN search_documents" not in plan, plan
        assert "TEMP B-TREE" not in plan or wanted.q, plan


@pytest.mark.parametrize(
    "wanted", [Filter("fox"), Filter(tag="x"), Filter(model="a", favourite=True), Filter("吉他", studio=True)]
)
def test_a_search_starts_from_the_words(user: Principal, plans: list[str], wanted: Filter) -> None:
    with session_scope(writing=False) as session:
        listing.page(session, user, wanted, None, 50)
    *_, words, works = plans
    assert words.startswith("SCAN search_index VIRTUAL TABLE") and "TEMP B-TREE" not in words, words
    assert works.startswith("SEARCH search_documents USING INTEGER PRIMARY KEY"), works
    assert "SEARCH artworks USING INDEX sqlite_autoindex_artworks_1 (id=?)" in works, works


def test_what_is_deleted_leaves_the_index_as_it_would_be_made_anew(user: Principal) -> None:
    made(user, "a fox")
    for identifier in (made(user, "a second fox"), made(user, "a third fox")):
        with session_scope() as session:
            service.trash(service.get(session, user, identifier, writing=True))
    with session_scope() as session:
        assert service.empty_trash(session, user) == 2
        assert len(session.scalars(select(SearchDocument)).all()) == 1
        if engine().dialect.name == "sqlite":  # raises where index and documents differ
            session.execute(text("INSERT INTO search_index(search_index, rank) VALUES ('integrity-check', 1)"))
    assert found(user, "fox") == ["a fox"] and found(user, trashed=True) == []


def test_only_what_is_in_the_trash_is_deleted_for_ever_and_else_nothing(user: Principal) -> None:
    kept, trashed = made(user, "kept"), made(user, "trashed")
    with session_scope() as session:
        service.trash(service.get(session, user, trashed, writing=True))
    wanted = Selection(ids=[trashed, kept], action="delete")
    with pytest.raises(Conflict), session_scope() as session:
        selection.change(session, user, wanted)
    assert found(user) == ["kept"] and found(user, trashed=True) == ["trashed"]
    with session_scope() as session:
        assert selection.change(session, user, Selection(ids=[trashed], action="delete")).changed == 1
    assert found(user, trashed=True) == []
