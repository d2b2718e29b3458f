"""What a run may take of a machine's memory."""

from __future__ import annotations

import os
import subprocess
import threading
from datetime import timedelta
from typing import Any

import pytest

from app.database import new_id, now, session_scope
from app.machines.tables import Worker
from app.training_runs import service
from app.training_runs.estimates import SHARE, estimate, memory_of, training_workers
from app.training_runs.schemas import Estimate
from app.training_runs.tables import TrainingRun
from app.users.tables import User
from models.contract.registry import families
from workers import gauging
from workers.celery_app import forget_dead

GIB = 2**30


@pytest.mark.usefixtures("in_process")
def test_workers_of_one_machine_share_its_memory_but_not_their_gpus() -> None:
    with session_scope() as session:
        assert memory_of(training_workers(session)) is None
        session.add(worker("studio-1", "CPU, 1 threads", 16))
        session.flush()
        assert memory_of(training_workers(session)) == round(16 * GIB * SHARE)
        session.add(worker("studio-2", "CPU, 1 threads", 16))
        session.add(worker("other-host-1", "CPU, 8 threads", 12))
        session.flush()
        assert memory_of(training_workers(session)) == round(8 * GIB * SHARE), (
            "either of two, and not the other machine"
        )
        for row in session.query(Worker):
            row.device = "NVIDIA H200"
        session.flush()
        assert memory_of(training_workers(session)) == round(12 * GIB * SHARE)
        session.add(worker("studio-3", "CPU, 1 threads", 1, queue="generation"))
        session.flush()
        assert memory_of(training_workers(session)) == round(12 * GIB * SHARE)


@pytest.mark.usefixtures("in_process")
def test_time_follows_the_slowest_machine_until_a_run_like_it_was_made() -> None:
    family = families()["vae"]
    assert family.training is not None

    def expected() -> Estimate:
        session.flush()
        assert family.training is not None
        return estimate(session, family, family.training(), 100, None)

    with session_scope() as session:
        alone = expected()
        assert alone.measured == "two cores"
        session.add(worker("studio-1", "CPU, 1 threads", 16))
        assert expected() == alone, "it has not been measured"
        session.add(worker("studio-2", "CPU, 8 threads", 16, speed=4.0))
        assert (expected().measured, expected().seconds) == ("speed", alone.seconds / 4)
        session.add(worker("studio-3", "CPU, 1 threads", 16, speed=0.5))
        session.add(worker("studio-4", "CPU, 1 threads", 16, queue="generation", speed=0.1))
        session.add(worker("studio-5", "CPU, 1 threads", 16, speed=0.1, seen_at=now() - timedelta(hours=1)))
        assert expected().seconds == 2 * alone.seconds


@pytest.mark.usefixtures("in_process")
def test_time_follows_what_runs_of_other_families_measured_on_such_a_device() -> None:
    vae, gan = families()["vae"], families()["gan"]
    assert vae.training and vae.cost and gan.training and gan.cost
    usual = gan.cost(gan.training()).items_per_second

    def ran(rate: float, device: str, seconds: float = 60.0) -> None:
        row = TrainingRun(
            id=new_id(), user_id=user.id, name="x", family="gan", collection="x", size=32, seed=0, steps=100
        )
        row.params, row.saved, row.seconds = gan.training().model_dump(mode="json"), 100, seconds  # type: ignore[misc]
        session.add(row)
        session.flush()
        folder = service.folder(row.id)
        folder.path.mkdir(parents=True)
        for step in (10, 20, 30):
            folder.append({"step": step, "images_per_second": rate})
        folder.say(device=device)

    with session_scope() as session:
        user = User(id=new_id(), name="ann", name_key="ann", role="admin")
        session.add_all([user, worker("studio-1", "CPU, 1 threads", 16, speed=40.0)])
        session.flush()
        alone = vae.cost(vae.training()).items_per_second
        ran(100 * usual, "cpu", seconds=5.0)
        ran(50 * usual, "cuda")
        found = estimate(session, vae, vae.training(), 100, None)
        assert found.measured == "speed", "one was too short, the other on a GPU that is not there"
        for rate in (1.0, 2.0, 9.0):
            ran(rate * usual, "cpu")
        found = estimate(session, vae, vae.training(), 100, None)
        assert found.measured == "runs"
        assert found.seconds == pytest.approx(100 * vae.training().batch_size / (2 * alone))  # type: ignore[attr-defined]


def test_of_several_measurements_the_best_counts_and_none_is_taken_beside_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, busy, stop = iter([1.0, 3.0, 2.0]), iter([True, False, True, False, False]), threading.Event()
    seen = []

    def measure() -> float:
        seen.append(gauging.speed)
        return next(found)

    def is_busy() -> bool:
        try:
            return next(busy)
        except StopIteration:
            stop.set()
            return True

    for name, value in {"LOOK_SECONDS": 0.001, "PAUSES": (0.001,), "speed": None, "is_training": lambda: False}.items():
        monkeypatch.setattr(gauging, name, value)
    monkeypatch.setattr(gauging, "measure", measure)
    monkeypatch.setattr(gauging, "is_busy", is_busy)
    gauging.gauge_when_idle(stop)
    assert seen == [None, 1.0, 3.0] and gauging.speed == 3.0


@pytest.mark.usefixtures("in_process")
def test_a_worker_that_was_killed_is_forgotten_when_the_next_one_comes() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with session_scope() as session:
        names = [f"studio-{ended.pid}", f"studio-{os.getpid()}", f"elsewhere-{ended.pid}"]
        session.add_all(worker(name, "CPU, 1 threads", 16) for name in names)
        session.flush()
        forget_dead(session, worker("studio-1", "CPU, 1 threads", 16))
        session.flush()
        assert {row.name for row in session.query(Worker)} == set(names[1:])


def worker(name: str, device: str, gibibytes: int, queue: str = "training", **more: Any) -> Worker:
    machine, _, process = name.rpartition("-")
    given = {"machine": machine, "process": int(process), "memory_used": 0, **more}
    return Worker(name=name, queue=queue, device=device, memory_total=gibibytes * GIB, **given)
