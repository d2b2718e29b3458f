"""Threads by kind of work: shares of users, and the end of patience."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.errors import Unavailable
from app.web.lanes import Lane


def blocking() -> tuple[Callable[[], None], threading.Event, list[int]]:
    """(work that waits for the event, the event, how many are at it at once as it was seen)."""
    release, at_work, lock = threading.Event(), [0, 0], threading.Lock()

    def work() -> None:
        with lock:
            at_work[0] += 1
            at_work[1] = max(at_work)
        release.wait(10)
        with lock:
            at_work[0] -= 1

    return work, release, at_work


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In a thread: a browser that another test drives leaves its own loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(main())).result()


def test_one_user_never_has_all_threads_of_a_lane() -> None:
    async def main() -> None:
        lane = Lane("test", threads=4, each=2, patience=10)
        work, release, at_work = blocking()
        greedy = [asyncio.create_task(lane.run("greedy", work)) for _ in range(20)]
        async with asyncio.timeout(10):
            while at_work[0] < 2:
                await asyncio.sleep(0.01)
            assert await lane.run("modest", lambda: "done") == "done", "another user's share is free"
        assert at_work[1] == 2
        release.set()
        await asyncio.gather(*greedy)

    run(main)


def test_who_waits_too_long_is_sent_away_and_told_when_to_come_back() -> None:
    async def main() -> None:
        lane = Lane("test", threads=1, each=1, patience=0.05)
        work, release, _ = blocking()
        first = asyncio.create_task(lane.run("one", work))
        await asyncio.sleep(0.01)
        for who in ("one", "two"):
            with pytest.raises(Unavailable) as refused:
                await lane.run(who, lambda: None)
            assert refused.value.retry_after
        release.set()
        await first
        assert await lane.run("two", lambda: "done") == "done"
        assert not lane._shares, "nothing is kept of who is gone"

    run(main)


def test_a_place_is_free_again_after_an_error_and_after_a_cancellation() -> None:
    async def main() -> None:
        lane = Lane("test", threads=1, each=1, patience=5)
        with pytest.raises(ZeroDivisionError):
            await lane.run("one", lambda: 1 / 0)
        work, release, _ = blocking()
        holding = asyncio.create_task(lane.run("one", work))
        waiting = asyncio.create_task(lane.run("two", lambda: None))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        await holding
        assert await lane.run("two", lambda: "done") == "done"

    run(main)
