"""Admins steer queues and make room: in the database and the files, whichever worker would come next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.admin import queue, storage
from app.database import new_id, session_scope
from app.errors import Conflict, NotFound
from app.generations.tables import GENERATION, Generation
from app.jobs import pauses
from app.training_runs import service
from app.training_runs.schemas import ExtensionIn
from app.training_runs.tables import TrainingRun
from app.users.tables import User
from workers import celery_app, lease
from workers.training import attempt

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def user() -> str:
    with session_scope() as session:
        row = User(id=new_id(), name="ann", name_key="ann", role="artist")
        session.add(row)
        return row.id


def job(user: str, **values: Any) -> str:
    given = {"model": "m", "task": "t", "checkpoint_sha256": "0", "params": {}, "count": 1, "request_hash": new_id()}
    with session_scope() as session:
        row = Generation(user_id=user, **{**given, **values})
        session.add(row)
        session.flush()
        return row.id


def training(user: str, **values: Any) -> str:
    given = {"name": "r", "family": "gan", "collection": "x", "size": 32, "params": {}, "steps": 10, "seed": 0}
    with session_scope() as session:
        row = TrainingRun(user_id=user, **{**given, **values})
        session.add(row)
        session.flush()
        return row.id


def claimed() -> list[str]:
    """Ids in the order in which a worker takes them, one by one."""
    found = []
    while True:
        with session_scope() as session:
            leases = lease.claim(session, GENERATION, "w", 1)
        if not leases:
            return found
        found.append(leases[0].job)


def act(identifier: str, place: queue.Place) -> None:
    with session_scope() as session:
        queue.move(session, queue.get(session, identifier), place)


def test_jobs_are_moved_to_either_end(user: str) -> None:
    a, b, c, d = (job(user) for _ in range(4))
    act(c, "first")
    act(a, "last")
    act(d, "first")
    assert claimed() == [d, c, b, a]
    with pytest.raises(Conflict):
        act(a, "first")
    with pytest.raises(NotFound):
        act(new_id(), "first")


def test_runs_are_moved_too(user: str) -> None:
    first, second = training(user), training(user)
    act(second, "first")
    with session_scope() as session:
        taken = attempt.claim(session, "training", "w")
        assert taken is not None and taken.job == second != first


def test_an_admin_cancels_what_is_anyones_and_its_user_reads_who(user: str) -> None:
    waiting, run = job(user), training(user)
    with session_scope() as session:
        for identifier in (waiting, run):
            assert queue.cancel(session, queue.get(session, identifier)).status == "cancelled"
        assert session.get_one(Generation, waiting).notice == queue.CANCELLED
    ended = job(user, status="succeeded")
    with pytest.raises(Conflict), session_scope() as session:
        queue.cancel(session, queue.get(session, ended))
    with session_scope(writing=False) as session:
        assert session.get_one(Generation, ended).notice is None


def test_of_a_paused_queue_nothing_is_begun(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_app, "queue_name", lambda: GENERATION)
    for paused in (True, True, False, False):
        with session_scope() as session:
            queue.set_paused(session, GENERATION, paused)
        with session_scope(writing=False) as session:
            assert pauses.paused(session) == ([GENERATION] if paused else [])
        assert celery_app.is_paused() == paused
    with pytest.raises(NotFound), session_scope() as session:
        queue.set_paused(session, "no-queue", True)


def run_folder(run: str) -> Path:
    place = service.folder(run).path
    for name, size in {"model/m": 100, "samples/s": 10, "checkpoints/step-1/state": 5000, "cache/c": 700}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"x" * size)
    (place / "metrics.jsonl").write_text("{}\n")
    return place


def test_tidying_leaves_the_model_and_what_is_looked_at(user: str) -> None:
    done, paused = training(user, status="succeeded", saved=10), training(user, status="paused", saved=5)
    folders = {run: run_folder(run) for run in (done, paused)}
    found = {run.id: run for run in storage.runs()}
    assert (found[done].bytes, found[done].state_bytes, found[paused].state_bytes) == (5813, 5700, 0)
    assert storage.tidy_all() == 5700
    assert {each.name for each in folders[done].iterdir()} == {"model", "samples", "metrics.jsonl"}
    assert (folders[paused] / "checkpoints" / "step-1" / "state").is_file(), "it may go on"
    with pytest.raises(Conflict):
        storage.tidy(paused)
    with pytest.raises(Conflict, match="state of this run"), session_scope() as session:
        service.extend(session, service.get(session, done), ExtensionIn(steps=20))


def test_a_run_that_begins_again_meanwhile_is_not_tidied(user: str) -> None:
    run = training(user, status="cancelled", saved=10)
    folder = run_folder(run)
    with session_scope() as session:
        session.execute(update(TrainingRun).values(status="queued"))
    with pytest.raises(Conflict):
        storage.tidy(run)
    assert (folder / "checkpoints").is_dir()
