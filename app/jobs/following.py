"""Live streams: one reader of Redis a process hands each event on to whoever listens, and one question to the database
every few seconds ends the streams of those who may no longer listen.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import redis
import redis.asyncio
import structlog
from fastapi import Depends

from app.database import session_scope
from app.errors import TooMany
from app.jobs.events import STREAM
from app.jobs.table import FINISHED
from app.security import Principal
from app.settings import get_settings
from app.users import service as users
from app.users.deps import User
from app.web.lanes import WATCHING

BLOCK_SECONDS = 2.0
BLOCK = int(BLOCK_SECONDS * 1000)
SILENT_SECONDS = 5.0  # without a word from Redis for so long, streams watch the rows themselves
CHECK_SECONDS = 5.0
AGAIN_SECONDS = (0.2, 2.0)  # pauses before Redis is tried again
QUEUE = 500  # events that a slow reader may be behind
RECENT = 2000  # events that a stream which broke off finds again
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it came: `event` is its JSON."""

    id: str
    user: str
    job: str
    type: str
    event: str
    status: str = ""

    @property
    def is_end(self) -> bool:
        return self.status in FINISHED


@dataclass(eq=False)
class Listener:
    """One stream."""

    user: Principal
    is_ended: bool = False
    _entries: asyncio.Queue[Entry | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    async def get(self, seconds: float) -> Entry | None:
        """The next entry; None after so long without one, or when there is something else to see."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._entries.get()
        return None

    def put(self, entry: Entry | None) -> None:
        """One that reads too slowly ends: its client comes again and finds what it missed."""
        try:
            self._entries.put_nowait(entry)
        except asyncio.QueueFull:
            self.is_ended = True

    def end(self) -> None:
        self.is_ended = True
        self.put(None)


class Following:
    """The reader and its listeners. `changes` counts the events that may have moved places in the queue."""

    def __init__(self) -> None:
        self.changes = 0
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._recent: deque[Entry] = deque(maxlen=RECENT)
        self._previews: dict[str, dict[str, Entry]] = {}  # the newest of each picture of a running job
        self._heard = 0.0
        self._last = ""

    @property
    def is_live(self) -> bool:
        """Whether events come by themselves; else listeners look at the rows."""
        return time.monotonic() - self._heard < SILENT_SECONDS

    @asynccontextmanager
    async def listen(self, user: Principal, most: int | None = None) -> AsyncIterator[Listener]:
        """Raises TooMany where the user has `most` streams already."""
        theirs = self._listeners[user.id]
        if most is not None and len(theirs) >= most:
            raise TooMany("You already have {most} live streams; close some", most=most, retry_after=10)
        listener = Listener(user)
        theirs.add(listener)
        try:
            yield listener
        finally:
            theirs.discard(listener)
            if not theirs:
                self._listeners.pop(user.id, None)

    def after(self, user: str, identifier: str) -> Iterator[Entry]:
        """What this process has seen of a user's events since `identifier` ("" for none)."""
        if identifier:
            seen = number(identifier)
            yield from [entry for entry in self._recent if entry.user == user and number(entry.id) > seen]

    def previews(self, jobs: set[str]) -> list[Entry]:
        """How far running jobs looked last."""
        return [entry for job in jobs for entry in self._previews.get(job, {}).values()]

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._read(), self._check())

    async def _read(self) -> None:
        pause = AGAIN_SECONDS[0]
        while True:
            connection = redis.asyncio.Redis.from_url(
                get_settings().redis, socket_connect_timeout=1, socket_timeout=BLOCK_SECONDS + 1, decode_responses=True
            )
            try:
                newest: Any = await connection.xrevrange(STREAM, count=1)
                end = newest[0][0] if newest else "0-0"
                if not self._last or number(end) < number(self._last):  # it was wiped, or its clock was set back
                    self._last = end
                while True:
                    answer: Any = await connection.xread({STREAM: self._last}, count=200, block=BLOCK)
                    self._heard, pause = time.monotonic(), AGAIN_SECONDS[0]
                    for identifier, fields in entries_of(answer):
                        self._last = identifier
                        self._hand_on(Entry(id=identifier, **fields))
            except Exception as error:  # Redis is away, or somebody else writes into its stream: it must go on
                log.warning("following_failed", error=repr(error))
                self._heard = 0.0
                for listener in self._all():
                    listener.put(None)
                await asyncio.sleep(pause)
                pause = min(2 * pause, AGAIN_SECONDS[1])
            finally:
                with suppress(redis.RedisError, OSError):
                    await connection.aclose()

    def _hand_on(self, entry: Entry) -> None:
        if entry.type == "preview":
            index = json.loads(entry.event).get("index", 0)
            self._previews.setdefault(entry.job, {})[str(index)] = entry
        else:
            self._recent.append(entry)
        if entry.type == "status":
            self.changes += 1
            if entry.status != "running":
                self._previews.pop(entry.job, None)
            while len(self._previews) > RECENT:  # of jobs whose end nobody told
                self._previews.pop(next(iter(self._previews)))
        for listener in self._listeners.get(entry.user, ()):
            listener.put(entry)

    def _all(self) -> list[Listener]:
        return [listener for theirs in self._listeners.values() for listener in theirs]

    async def _check(self) -> None:
        """Keys are revoked, sessions end, users are locked: their streams end too."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not (listeners := self._all()):
                continue
            try:
                good = await WATCHING.run("streams", partial(still_good, {each.user for each in listeners}))
            except Exception as error:  # the database is away: streams stay until it can be asked
                log.warning("streams_not_checked", error=str(error))
                continue
            for each in listeners:
                if each.user not in good:
                    each.end()


def still_good(principals: set[Principal]) -> set[Principal]:
    with session_scope(writing=False) as session:
        return users.still_good(session, principals)


def number(identifier: str) -> tuple[int, int]:
    """Of an id as Redis counts entries; (0, 0) for none."""
    if not identifier:
        return 0, 0
    milliseconds, _, sequence = identifier.partition("-")
    return int(milliseconds), int(sequence or 0)


def entries_of(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """Entries of an XREAD of one stream, in either protocol's shape."""
    if not answer:
        return []
    found = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    return found[0] if found and isinstance(found[0], list) and found[0] and isinstance(found[0][0], list) else found


following = Following()


async def listening(user: User) -> AsyncIterator[Listener]:
    """For as long as a stream lasts. Raises TooMany before its first byte."""
    async with following.listen(user, get_settings().max_streams_per_user) as listener:
        yield listener


Listening = Annotated[Listener, Depends(listening)]
