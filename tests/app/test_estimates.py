"""What a run may take of a machine's memory."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from typing import Any

import pytest

from app.database import now, session_scope
from app.machines.tables import Worker
from app.training_runs.estimates import SHARE, estimate, memory_of, training_workers
from app.training_runs.schemas import Estimate
from models.contract.registry import families
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
