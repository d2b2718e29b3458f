"""Ids sort by the time of their making, whatever the clock does."""

import os
import uuid
from collections.abc import Iterator

import pytest

from app import database
from app.database import Ids, following, learn_newest, new_id, not_before, session_scope
from app.datasets import service
from app.datasets.schemas import DatasetIn

TOMORROW = "ffffffff-0000-7000-8000-000000000000"  # of a clock that was far ahead


@pytest.fixture
def clock() -> Iterator[None]:
    """What a test teaches this process is forgotten."""
    newest = database._ids.newest
    yield
    database._ids.newest = newest


def test_many_at_once_are_in_order() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made)) and all(uuid.UUID(each).version == 7 for each in made)


def test_a_clock_that_goes_back_buries_nothing(clock: None) -> None:
    not_before(TOMORROW)
    made = [new_id() for _ in range(100)]
    assert made == sorted(set(made)) and made[0] > TOMORROW
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made} == {(7, uuid.RFC_4122)}


def test_an_older_id_changes_nothing() -> None:
    before = new_id()
    not_before("00000000-0000-7000-8000-000000000000")
    assert new_id() > before and following(before) > before


def test_a_process_learns_what_is_there(in_process: None, clock: None) -> None:
    with session_scope() as session:
        made = service.create(session, None, DatasetIn(name="of tomorrow"))
        made.id = TOMORROW
    learn_newest()
    assert new_id() > TOMORROW


def test_a_forked_child_makes_others() -> None:
    ids = Ids()
    ids.lock.acquire()  # as a thread of the parent may hold it
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        ids.forked()
        os.write(writing, ids.make().encode())
        os._exit(0)
    os.waitpid(child, 0)
    ids.lock.release()
    assert os.read(reading, 36).decode() != ids.make()
