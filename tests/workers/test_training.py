"""The training worker's side of a run, on SQLite and on PostgreSQL, with small processes in the place of training."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.database import now, session_scope
from app.datasets import fetching
from app.errors import Conflict, Invalid
from app.jobs import sweeper
from app.settings import get_settings
from app.training_runs import service
from app.training_runs.schemas import ExtensionIn
from app.training_runs.tables import TrainingRun
from tests.studio import ROOT, wait_until
from workers import lease
from workers.lease import Lease
from workers.training import attempt, collection, result
from workers.training import process as processes

pytestmark = pytest.mark.usefixtures("in_process")


def add_run(**values: Any) -> str:
    with session_scope() as session:
        run = TrainingRun(
            **{
                "name": "r",
                "family": "fsq-autoencoder",
                "collection": "c",
                "size": 64,
                "params": {"batch_size": 4},
                "steps": 10,
                "seed": 0,
                **values,
            }
        )
        session.add(run)
        session.flush()
        service.folder(run.id).path.mkdir(parents=True)
        return run.id


def claim() -> Lease[TrainingRun] | None:
    with session_scope() as session:
        return attempt.claim(session, "training", "worker")


def row(run: str) -> TrainingRun:
    with session_scope(writing=False) as session:
        return session.get_one(TrainingRun, run)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Let a run's process be this Python text; `folder` is the run's, `counter` the kernel's count of kills.

    `ready`: it has started once it says so.
    """
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom_kill 3\n")
    monkeypatch.setattr(result, "KILLS", (counter,))
    monkeypatch.setattr(collection, "prepared", lambda taken: tmp_path)

    def use(text: str, ready: str | None = None) -> None:
        def start(run: TrainingRun, collection: Path) -> subprocess.Popen[bytes]:
            place = service.folder(run.id)
            place.say(phase="starting")
            code = PRELUDE.format(folder=str(place.path), counter=str(counter)) + text
            process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
            if ready:
                wait_until("the process to be ready", lambda: place.progress().get("phase") == ready)
            return process

        monkeypatch.setattr(processes, "start", start)

    return use


def sit() -> None:
    assert attempt.work_once("training", "worker")


def sit_and_hear(run: str, wish: Callable[[Session, TrainingRun], object]) -> None:
    """A sitting whose run is asked for something while it goes on."""
    taken = claim()
    assert taken is not None
    with session_scope() as session:
        wish(session, session.get_one(TrainingRun, run))
    attempt.attempt(taken)


PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from models.contract.run_folder import RunFolder
folder, counter = RunFolder(Path({folder!r})), Path({counter!r})
"""
SAID = 'folder.say(phase="{phase}", step={step}, steps=10, progress=0.5, seconds=2.0, saved={saved}, pieces=1)\n'


def test_runs_are_claimed_once_by_priority_and_age() -> None:
    first, second = add_run(), add_run()
    urgent = add_run(priority=1)
    assert [taken.job for _ in range(3) if (taken := claim())] == [urgent, first, second]
    assert claim() is None


def test_a_pause_that_was_only_asked_for_can_be_taken_back() -> None:
    run = add_run()
    assert claim() is not None
    with session_scope() as session:
        service.pause(session, service.get(session, run))
    with session_scope() as session:
        service.resume(session, service.get(session, run))
    assert (row(run).status, row(run).pause_requested) == ("running", False)


def test_prepared_pictures_stay_while_a_run_uses_them() -> None:
    first, second = (add_run(prepared="prepared/kites") for _ in range(2))
    place = get_settings().data / "prepared" / "kites"
    place.mkdir(parents=True)
    for run, stays in ((first, True), (second, False)):
        with session_scope() as session:
            session.delete(service.get(session, run))
        service.discard(run, "prepared/kites")
        assert place.exists() == stays


def test_a_process_that_hangs_is_ended(process: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SILENT_SECONDS", 1.0)
    process('folder.say(phase="training")\nos.kill(os.getpid(), signal.SIGSTOP)\n')
    run = add_run()
    sit()
    assert (row(run).status, row(run).attempt) == ("queued", 1)
    sit()
    sit()
    assert row(run).status == "failed" and "SIGKILL" in str(row(run).error)


def test_the_fetch_of_a_starter_collection_hears_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    run = add_run(collection="emoji", prepared="datasets/emoji")

    def build(name: str, folder: Path, cache: Path, look: Callable[[], None]) -> None:
        with session_scope() as session:
            service.cancel(session, service.get(session, run))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            look()
        pytest.fail("the cancel was not heard")

    monkeypatch.setattr(fetching, "build", build)
    sit()
    assert row(run).status == "cancelled"


def test_a_process_that_ends_well_ends_the_run(process: Callable[..., None]) -> None:
    process(SAID.format(phase="done", step=7, saved=7))
    run = add_run()
    sit()
    done = row(run)
    assert (done.status, done.step, done.saved, done.attempt, done.token) == ("succeeded", 7, 7, 1, None)


def test_the_reason_of_a_failure_is_kept(process: Callable[..., None]) -> None:
    process('folder.say(phase="failed", reason="the loss of step 3 is nan")\nsys.exit(1)')
    run = add_run()
    sit()
    assert (row(run).status, row(run).error) == ("failed", "the loss of step 3 is nan")


def test_a_process_that_dies_as_it_measures_has_made_its_model(process: Callable[..., None]) -> None:
    process(
        'folder.model.mkdir()\n(folder.model / "card.json").write_text("{}")\n'
        + SAID.format(phase="evaluating", step=10, saved=10)
        + "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = add_run()
    sit()
    assert row(run).status == "succeeded"
    card = json.loads((service.folder(run).model / "card.json").read_text())
    assert card == {"not_measured": "The training process was ended by SIGKILL."}


def test_a_measurement_can_be_skipped_and_the_run_has_its_model(process: Callable[..., None]) -> None:
    process(
        'folder.model.mkdir()\n(folder.model / "card.json").write_text("{}")\n'
        + SAID.format(phase="evaluating", step=10, saved=10)
        + "time.sleep(60)",
        ready="evaluating",
    )
    run = add_run()

    def conclude(session: Session, run: TrainingRun) -> None:
        run.phase = "evaluating"
        service.conclude(session, run)

    sit_and_hear(run, conclude)
    assert row(run).status == "succeeded" and not row(run).evaluate
    card = json.loads((service.folder(run).model / "card.json").read_text())
    assert card == {"not_measured": "The measurement was skipped."}


def test_a_run_that_trains_is_not_concluded() -> None:
    run = add_run(status="running", phase="training", saved=3)
    with pytest.raises(Conflict, match="Pause"), session_scope() as session:
        service.conclude(session, service.get(session, run))


def test_a_pause_that_could_not_save_says_so(process: Callable[..., None]) -> None:
    process(
        "def stop(*_):\n    folder.say(phase='failed', reason='the disk is full')\n    sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, stop)\n" + SAID.format(phase="training", step=3, saved=0) + "time.sleep(60)",
        ready="training",
    )
    run = add_run()
    sit_and_hear(run, service.pause)
    assert (row(run).status, row(run).error) == ("failed", "the disk is full")


def test_a_folder_that_an_earlier_process_never_leaves_ends_the_run(process: Callable[..., None]) -> None:
    process(f"sys.exit({result.IN_USE})")
    run = add_run()
    for expected in ("queued", "queued", "failed"):
        sit()
        assert row(run).status == expected
    assert "holds its folder" in (row(run).error or "")


def test_a_run_that_never_gets_flat_takes_no_patience() -> None:
    run = add_run(family="mixing-vae", params={"adversarial_weight": 1.0}, status="paused")
    with session_scope() as session, pytest.raises(Invalid, match="never plateaus"):
        service.extend(session, session.get_one(TrainingRun, run), ExtensionIn(patience=3))


def test_a_process_that_dies_three_times_without_a_new_checkpoint_fails_the_run(process: Callable[..., None]) -> None:
    process("os.kill(os.getpid(), signal.SIGKILL)")
    run = add_run()
    for expected in ("queued", "queued", "failed"):
        sit()
        assert row(run).status == expected
    assert "SIGKILL" in (row(run).error or "")


def test_a_new_checkpoint_gives_a_run_its_attempts_back(process: Callable[..., None]) -> None:
    run = add_run()
    for saved in range(1, 6):
        process(SAID.format(phase="training", step=saved, saved=saved) + "os.kill(os.getpid(), signal.SIGKILL)")
        sit()
        assert (row(run).status, row(run).saved) == ("queued", saved)


def test_a_kill_by_the_kernel_for_memory_makes_smaller_pieces_until_none_is_left(
    process: Callable[..., None],
) -> None:
    process(
        "count = int(counter.read_text().split()[-1])\ncounter.write_text(f'low 0\\noom_kill {count + 1}\\n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = add_run()
    for pieces in (2, 4, 8):
        sit()
        assert (row(run).status, row(run).pieces, row(run).attempt) == ("queued", pieces, 0)
    sit()
    assert row(run).status == "failed" and "not even for one picture" in (row(run).error or "")


def test_wishes_reach_a_process_that_runs(process: Callable[..., None]) -> None:
    process(
        "signal.signal(signal.SIGTERM, lambda *_: (folder.say(phase='stopped', step=4, steps=10, progress=0.4, "
        "seconds=1.0, saved=4, pieces=1), sys.exit(130)))\n"
        + SAID.format(phase="training", step=3, saved=0)
        + "time.sleep(60)",
        ready="training",
    )
    run = add_run()
    sit_and_hear(run, service.pause)
    assert (row(run).status, row(run).saved, row(run).step) == ("paused", 4, 4)
    with session_scope() as session:
        service.resume(session, session.get_one(TrainingRun, run))
    sit_and_hear(run, partial(service.extend, given=ExtensionIn(steps=20)))
    assert (row(run).status, row(run).steps) == ("queued", 20)
    sit_and_hear(run, service.cancel)
    assert row(run).status == "cancelled" and row(run).finished_at is not None


def test_a_budget_that_grows_as_the_run_ends_is_not_lost(process: Callable[..., None]) -> None:
    process(SAID.format(phase="done", step=10, saved=10))
    run = add_run()
    taken = claim()
    assert taken is not None
    found = attempt.train(taken, Path())
    with session_scope() as session:
        service.extend(session, session.get_one(TrainingRun, run), ExtensionIn(steps=30))
    attempt.settle(taken, found)
    assert (row(run).status, row(run).steps) == ("queued", 30)


def test_who_lost_the_lease_changes_nothing(process: Callable[..., None]) -> None:
    process("time.sleep(60)")
    run = add_run()
    taken = claim()
    assert taken is not None
    with session_scope() as session:
        session.execute(update(TrainingRun).values(lease_until=now() - timedelta(seconds=1)))
    with session_scope() as session:
        assert [found.id for found in sweeper.reap(session, TrainingRun)] == [run]
    again = claim()
    assert again is not None and again.attempt == 2
    attempt.attempt(taken)
    assert (row(run).status, row(run).token) == ("running", again.token)


@pytest.mark.parametrize(
    ("wish", "becomes"),
    [({"cancel_requested": True}, "cancelled"), ({"pause_requested": True}, "paused"), ({}, "failed")],
)
def test_a_run_whose_worker_is_gone_does_what_was_wished(wish: dict[str, bool], becomes: str) -> None:
    run = add_run(attempt=2)
    claim()
    with session_scope() as session:
        session.execute(update(TrainingRun).values(lease_until=now() - timedelta(seconds=1), **wish))
    with session_scope() as session:
        sweeper.reap(session, TrainingRun)
    assert row(run).status == becomes
    assert (row(run).error == TrainingRun.failure_message) == (becomes == "failed")


def test_a_worker_that_leaves_gives_its_runs_back() -> None:
    run = add_run()
    claim()
    assert lease.release_all("worker") == 1
    assert (row(run).status, row(run).attempt) == ("queued", 0)
