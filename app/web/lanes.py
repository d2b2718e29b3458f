"""Threads, by kind of work: what waits for the database's one writer, or decodes, or hashes, never takes those that
others need. Health and static files use none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from app.errors import Unavailable

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
RETRY_SECONDS = 2
MOST_WAITING = 500  # requests in front of one lane


@dataclass
class Share:
    """What one user has of a lane."""

    free: asyncio.Semaphore
    requests: int = 0


@dataclass
class Lane:
    """`threads` in all, at most `each` of them for one user; who waits longer than `patience` seconds is sent away."""

    name: str
    threads: int
    each: int
    patience: float
    _waiting: int = 0
    _shares: dict[str, Share] = field(default_factory=dict)
    _free: asyncio.Semaphore | None = None
    _limiter: CapacityLimiter | None = None

    async def run(self, who: str, work: Callable[[], T]) -> T:
        """`work()` in a thread of this lane, in turn. Raises Unavailable when its turn does not come in time."""
        async with self.place(who):
            return await self.in_thread(work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The same from within a `place`."""
        assert self._limiter is not None
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    @asynccontextmanager
    async def place(self, who: str) -> Any:
        """One of the lane's places for a while: for what reads a body before it knows its work."""
        if self._free is None or self._limiter is None:  # they belong to the running loop
            self._free, self._limiter = asyncio.Semaphore(self.threads), CapacityLimiter(self.threads)
        share = self._shares.setdefault(who, Share(asyncio.Semaphore(self.each)))
        share.requests += 1
        try:
            await self._enter(share.free, self._free)
            try:
                yield
            finally:
                self._free.release()
                share.free.release()
        finally:
            share.requests -= 1
            if not share.requests:
                self._shares.pop(who, None)

    async def _enter(self, own: asyncio.Semaphore, all_of_it: asyncio.Semaphore) -> None:
        if not own.locked() and not all_of_it.locked():  # the usual case, without a timer
            await own.acquire()
            await all_of_it.acquire()
            return
        if self._waiting >= MOST_WAITING:
            raise Unavailable(
                "Too many requests are waiting at once; try again in a few seconds", retry_after=RETRY_SECONDS
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(self.patience):
                await own.acquire()
                try:
                    await all_of_it.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError:
            raise Unavailable("The studio is busy; try again in a few seconds", retry_after=RETRY_SECONDS) from None
        finally:
            self._waiting -= 1


READING = Lane("reading", threads=16, each=12, patience=10)
WRITING = Lane("writing", threads=8, each=6, patience=8)
DECODING = Lane("decoding", threads=2, each=1, patience=30)  # a picture of 40 megapixels takes 160 MB meanwhile
RECEIVING = Lane("receiving", threads=100, each=8, patience=60)  # no threads: uploads under way
HASHING = Lane("hashing", threads=2, each=1, patience=10)  # slow on purpose
LIVE = Lane("live", threads=16, each=4, patience=2)  # frames that a worker draws meanwhile
IMPORTING = Lane("importing", threads=4, each=2, patience=60)  # copies and checks that may take minutes
WATCHING = Lane("watching", threads=2, each=2, patience=10)  # the streams' looks at the database


def lane(chosen: Lane) -> Callable[[F], F]:
    """Mark an endpoint that is no common reader or writer."""

    def mark(endpoint: F) -> F:
        endpoint.lane = chosen  # type: ignore[attr-defined]
        return endpoint

    return mark
