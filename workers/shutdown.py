"""A worker that is told to stop: begun in its main process, heard in the child that works."""

from __future__ import annotations

import multiprocessing
import time

# A batch may end within the first of these; a worker that is not gone after the second is ended, whatever it does.
GRACE_SECONDS, LONGEST_SECONDS = 10.0, 18.0

_context = multiprocessing.get_context("fork")
begun = _context.Event()
_moment = _context.Value("d", 0.0)


class Stopping(Exception):
    """What is being done goes back to the queue: the worker stops."""


def begin() -> None:
    if not begun.is_set():
        _moment.value = time.monotonic()
        begun.set()


def check() -> None:
    """For every step of a batch. Raises Stopping once the grace is over."""
    if begun.is_set() and time.monotonic() - _moment.value > GRACE_SECONDS:
        raise Stopping
