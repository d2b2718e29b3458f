"""What every process does now and then. A thread, not a task of the queue: it must work when the queue does not."""

from __future__ import annotations

import threading

import structlog

from app.checkpoints import distribution
from app.generations.waiting import give_up_waiting
from app.jobs.sweeper import sweep
from app.outages import in_words
from app.settings import get_settings
from app.upkeep.tidy import tidy
from app.users.service import touch_keys

log = structlog.get_logger()


def sweep_forever(stop: threading.Event) -> None:
    """Until `stop` is set. An error is logged and the next round tries again."""
    while not stop.wait(get_settings().sweep_seconds):
        for work in (sweep, give_up_waiting, touch_keys, distribution.follow, tidy):
            try:
                work()
            except Exception as error:
                log.warning("sweep_failed", part=work.__name__, error=in_words(error))
