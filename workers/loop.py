"""What a worker does all day: look into the database for a job, work on it, look again. A doorbell only shortens the
wait, so that a broker which is away, stalled or wiped delays a job by seconds and loses none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

import structlog

from app.database import now
from app.outages import in_words, outage
from workers import shutdown

LOOK_SECONDS = 2.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # while the database or the storage is away
PATIENCE_SECONDS = 600.0  # how long a job in hand waits for them
T = TypeVar("T")
log = structlog.get_logger()

_bell = threading.Event()
claimed_at: datetime | None = None  # by this process


def wake() -> None:
    """Look now: there is work, or it is time to stop."""
    _bell.set()


def claimed() -> None:
    global claimed_at
    claimed_at = now()


def work_forever(stop: threading.Event, work_once: Callable[[], bool]) -> None:
    """`work_once` says whether there was a job. What it raises is the surroundings' fault, or a bug: it pauses then."""
    pauses = growing()
    while not stop.is_set() and not shutdown.begun.is_set():
        structlog.contextvars.clear_contextvars()
        try:
            worked = work_once()
        except Exception as error:
            pause = next(pauses)
            log.warning("could_not_work", error=in_words(error), again_in=pause)
            stop.wait(pause)
            continue
        pauses = growing()
        if not worked:
            _bell.wait(LOOK_SECONDS)
            _bell.clear()


def growing() -> Iterator[float]:
    pause = SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def patiently(act: Callable[[], T], go_on: Callable[[], bool] = lambda: True) -> T:
    """`act`, again after growing pauses while the surroundings fail: that is not the job's fault and costs it nothing.

    Raises what `act` raises for other reasons, when `go_on` says no or patience ends; Stopping when the worker stops.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for pause in growing():
        try:
            return act()
        except Exception as error:
            fault = outage(error)
            if fault is None or time.monotonic() > deadline or not go_on():
                raise
            log.warning("surroundings_failed", error=fault.message, again_in=pause)
        if shutdown.begun.wait(pause):
            raise shutdown.Stopping
    raise AssertionError
