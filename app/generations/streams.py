"""What live streams of generations say: events as they come, and rows where Redis is silent or something was lost."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from functools import partial

from fastapi.sse import ServerSentEvent

from app.database import session_scope
from app.generations import service
from app.generations.schemas import GenerationOut
from app.jobs.events import StatusEvent
from app.jobs.following import Entry, Listener, following, number
from app.jobs.table import FINISHED
from app.security import Principal
from app.web.lanes import READING

LONGEST_SECONDS = 3600.0
# Between two looks at the rows: while Redis is silent or places in the queue change; in case an event was lost; and
# how long a stream without jobs sleeps that nothing wakes.
OFTEN, SELDOM, IDLE = 2.0, 10.0, 60.0


def describe(user: Principal, job_id: str) -> GenerationOut:
    with session_scope(writing=False) as session:
        return service.describe_one(session, service.get(session, user, job_id))


def status_event(job: GenerationOut) -> StatusEvent:
    return StatusEvent(
        generation=job.id,
        status=job.status,
        artworks=[work.id for work in job.artworks],
        error=job.error,
        queue_position=job.queue_position,
    )


def sent(event: Entry | StatusEvent) -> ServerSentEvent:
    if isinstance(event, StatusEvent):
        return ServerSentEvent(data=event, event="status")
    return ServerSentEvent(raw_data=event.event, event=event.type, id=event.id)


async def of_job(listener: Listener, job_id: str, after: str = "") -> AsyncIterator[Entry | StatusEvent]:
    """Events of one job from `after` on, ending with its end."""
    began, looked, seen = time.monotonic(), -math.inf, number(after)
    missed = [entry for entry in following.after(listener.user.id, after) if entry.job == job_id]
    while not listener.is_ended and time.monotonic() - began < LONGEST_SECONDS:
        entry = missed.pop(0) if missed else await listener.get(OFTEN)
        if entry is not None and entry.job == job_id and number(entry.id) > seen:
            seen = number(entry.id)
            yield entry
            if entry.is_end:
                return
        pause = SELDOM if following.is_live else OFTEN
        if entry is None and time.monotonic() - looked >= pause:
            looked = time.monotonic()
            job = await READING.run(listener.user.id, partial(describe, listener.user, job_id))
            if job.status in ("queued", *FINISHED):
                yield status_event(job)
            if job.status in FINISHED:
                return


async def of_user(listener: Listener, after: str = "") -> AsyncIterator[Entry | StatusEvent]:
    """Events of all own jobs: first what was missed since `after`, and the status of every unfinished job."""
    for entry in following.after(listener.user.id, after):
        yield entry
    began, looked, changes, watched = time.monotonic(), -math.inf, -1, set[str]()
    while not listener.is_ended and time.monotonic() - began < LONGEST_SECONDS:
        pause = until_look(bool(watched), changes)
        if looked == -math.inf or time.monotonic() - looked >= pause:
            previews = looked == -math.inf
            looked, changes = time.monotonic(), following.changes
            watched, changed = await READING.run(listener.user.id, partial(look_around, listener.user, watched))
            for status in changed:
                yield status
            for entry in following.previews(watched) if previews else []:
                yield entry
        event = await listener.get(min(pause, IDLE))
        if event is not None:
            yield event
            if event.type == "status":
                (watched.discard if event.is_end else watched.add)(event.job)


def until_look(is_watching: bool, changes: int) -> float:
    """Seconds from one look at the rows to the next. Idle streams need none while Redis speaks."""
    if not following.is_live or (is_watching and following.changes != changes):
        return OFTEN
    return SELDOM if is_watching else math.inf


def look_around(user: Principal, watched: set[str]) -> tuple[set[str], list[StatusEvent]]:
    """(ids of the unfinished jobs now, status of those and of the watched ones that have ended since)."""
    with session_scope(writing=False) as session:
        jobs = service.unfinished(session, user)
        ended = service.ended(session, user, watched - {job.id for job in jobs})
        described = service.describe(session, [*jobs, *ended])
    return {job.id for job in jobs}, [status_event(job) for job in described]
