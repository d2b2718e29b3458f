"""A third kind of job is entered in one place, and everything that deals with jobs deals with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import MetaData, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app import health
from app.admin import overview
from app.database import Base, engine, now, session_scope
from app.jobs import sweeper
from app.jobs.queue import bell
from app.jobs.registry import JobQueue, enter, queues, withdraw
from app.jobs.table import Job
from app.settings import get_settings
from app.terminal.supervisor import children
from workers import celery_app, lease

LETTERS = "letters"


class OwnBase(DeclarativeBase):
    """Not among the studio's tables, which the migrations are held against."""

    metadata = MetaData()
    type_annotation_map = Base.type_annotation_map


class Letter(Job, OwnBase):
    __tablename__ = "letters"

    failure_message = "The postman gave up."
    queue: Mapped[str] = mapped_column(default=LETTERS)


told: list[str] = []

# What the queue's entry names as the module that works on it.

BESIDE = (lambda stop: told.append("beside"),)
BESIDE[0].__name__ = "beside"


def prepare() -> None:
    told.append("prepared")


def work_once(queue: str, worker: str) -> bool:
    with session_scope() as session:
        letter = session.scalar(select(Letter).where(Letter.status == "queued", Letter.queue == queue).limit(1))
        if letter is None:
            return False
        (taken,) = lease.take(session, letter, worker)
    with session_scope() as session:
        assert lease.end(session, taken, "succeeded")
    told.append("worked")
    return True


@pytest.fixture
def letters(in_process: None) -> Iterator[None]:
    told.clear()
    Letter.metadata.drop_all(engine())
    Letter.metadata.create_all(engine())
    enter(JobQueue(LETTERS, Letter, __name__, changed=lambda letter: told.append(letter.status)))
    yield
    withdraw(LETTERS)
    Letter.metadata.drop_all(engine())


def write() -> str:
    with session_scope() as session:
        letter = Letter()
        session.add(letter)
        session.flush()
        return letter.id


def row(letter: str) -> Letter:
    with session_scope(writing=False) as session:
        return session.get_one(Letter, letter)


def claimed(letter: str) -> None:
    with session_scope() as session:
        assert lease.take(session, session.get_one(Letter, letter), "postman")


@pytest.mark.usefixtures("letters")
def test_a_lease_that_ran_out_goes_back_to_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    monkeypatch.setattr(sweeper, "ring", rung.append)
    letter = write()
    for attempt in range(1, sweeper.MAX_ATTEMPTS + 1):
        claimed(letter)
        with session_scope() as session:
            session.execute(update(Letter).values(lease_until=now() - timedelta(seconds=1)))
        sweeper.sweep()
        assert row(letter).attempt == attempt
    assert (row(letter).status, row(letter).error) == ("failed", Letter.failure_message)
    assert told == ["queued", "queued", "failed"] and rung == [LETTERS, LETTERS]


@pytest.mark.usefixtures("letters")
def test_a_worker_that_leaves_gives_it_back() -> None:
    letter = write()
    claimed(letter)
    assert lease.release_all("postman") == 1
    assert (row(letter).status, row(letter).attempt) == ("queued", 0)


@pytest.mark.usefixtures("letters")
def test_admins_and_probes_see_it() -> None:
    write()
    with session_scope() as session:
        session.execute(update(Letter).values(created_at=now() - timedelta(seconds=100)))
    with session_scope(writing=False) as session:
        assert overview.counts(session) == {(LETTERS, "queued"): 1}
        assert 100 <= (health.age_of_oldest(session, LETTERS) or 0) < 160
    assert "a job of letters has waited for 1" in (health.waiting() or "")


@pytest.mark.usefixtures("letters")
def test_the_studio_starts_a_worker_for_it_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANQING_QUEUE", LETTERS)
    monkeypatch.setenv("DANQING_WORKER", "postman")
    started = {child.name: child for child in children(get_settings()) if child.name in queues()}
    assert set(started) == set(queues()) and started[LETTERS].command[-2:] == ["--queue", LETTERS]
    letters = [write(), write()]
    stop = threading.Event()
    monkeypatch.setattr(celery_app.loop, "work_forever", lambda stop, once: [once(), once(), told.append(str(once()))])
    celery_app.work_forever(stop)
    assert [row(letter).status for letter in letters] == ["succeeded", "succeeded"]
    assert sorted(told) == ["False", "beside", "prepared", "worked", "worked"]


def test_two_queues_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="a queue generation already"):
        enter(JobQueue("generation", Letter, __name__))


def test_doorbells_are_lost_rather_than_kept_unacknowledged() -> None:
    assert SimpleNamespace(**bell(LETTERS).as_dict()).no_ack and bell(LETTERS).routing_key == LETTERS
