"""The queues of the studio. A feature enters its own beside its table; nothing else knows how many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.jobs.table import Job


@dataclass(frozen=True)
class JobQueue:
    """A kind of job: its table, and the module of the workers that does it.

    `work` is a dotted name whose module has `work_once(queue, worker) -> bool` (whether there was a job), `prepare()`
    for what comes before the first, and `BESIDE`, functions of a stop event that run in threads of their own.
    `changed(job)` tells whoever watches that a job was taken from a worker which died. `needed`: without a worker of it
    the studio is not ready. `gpu_each`: `danqing up` starts a worker for every GPU, not one.
    """

    name: str
    table: type[Job]
    work: str
    changed: Callable[[Any], None] = lambda job: None
    needed: bool = False
    gpu_each: bool = False
    environment: dict[str, str] = field(default_factory=dict)


_queues: dict[str, JobQueue] = {}


def enter(queue: JobQueue) -> None:
    """Raises ValueError where another has its name."""
    if queue.name in _queues:
        raise ValueError(f"there is a queue {queue.name} already")
    _queues[queue.name] = queue


def withdraw(name: str) -> None:
    del _queues[name]


def queues() -> dict[str, JobQueue]:
    """By name, all that `app.tables` brings in."""
    return dict(_queues)
