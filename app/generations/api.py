"""/api/v1/generations and the live events of jobs."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Request, Response, status
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from app.database import session_scope
from app.deps import User, may_go_on
from app.events import Event, StatusEvent, last_id, publish, subscribe
from app.generations import restoring, service
from app.generations.schemas import GenerationIn, GenerationList, GenerationOut, Restoration
from app.generations.tables import FINISHED
from app.i18n import language_of, said
from app.imaging import told
from app.paging import Cursor, Limit, decode, encode
from app.queue import ring
from app.uploads.form import OPENAPI, read_file
from app.users.service import Principal
from app.validation import Id

router = APIRouter(prefix="/generations", tags=["generations"])
LONGEST_WAIT = 60.0
LONGEST_STREAM = 3600.0
LOOK_AGAIN = 2.0  # seconds between looks at the row, in case an event was lost
Key = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x20-\x7e]+$",
        description="The same key with the same request answers with the same job",
    ),
]
Prefer = Annotated[
    str | None, Header(max_length=200, description="`wait=30` answers when the job has ended, or after 30 seconds")
]


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Submit a job",
    responses={
        201: {"model": GenerationOut, "description": "Ended within `Prefer: wait`"},
        409: {"description": "The Idempotency-Key was used with another request"},
        429: {"description": "Over the quota"},
    },
)
async def submit(
    request: Request,
    response: Response,
    user: User,
    given: GenerationIn,
    idempotency_key: Key = None,
    prefer: Prefer = None,
) -> GenerationOut:
    seconds = wait_seconds(prefer)
    start = await run_in_threadpool(last_id, user.id) if seconds else "0"
    job = await run_in_threadpool(create, user, given, idempotency_key, request.state.id)
    response.headers["Location"] = f"/api/v1/generations/{job.id}"
    if seconds:
        await wait_for_end(user, job.id, start, seconds)
        job = await run_in_threadpool(look, user, job.id)
        if job.status in FINISHED:
            response.status_code = status.HTTP_201_CREATED
    return job


@router.post("/restoration", summary="The request that a picture's file tells", openapi_extra=OPENAPI)
async def restoration(user: User, request: Request) -> Restoration:
    """Of a PNG that this or another studio has made. Nothing is drawn or kept."""
    content, _ = await read_file(request)
    return await run_in_threadpool(restore, user, content, language_of(request))


def restore(user: Principal, content: bytes, language: str) -> Restoration:
    with session_scope(writing=False) as session:
        found = restoring.restore(session, user, told(content))
    return found.model_copy(update={"differences": [said(language, each) for each in found.differences]})


def create(user: Principal, given: GenerationIn, key: str | None, request_id: str) -> GenerationOut:
    """One transaction, then the doorbell: never the other way round."""
    with session_scope() as session:
        job, new = service.submit(session, user, given, key, request_id)
        described = service.describe_one(session, job)
    if new:
        ring(job.queue, job.id)
    return described


def look(user: Principal, job_id: str) -> GenerationOut:
    with session_scope(writing=False) as session:
        return service.describe_one(session, service.get(session, user, job_id))


def own_job(user: User, generation_id: Id) -> GenerationOut:
    """A dependency: a stream must refuse before its first byte."""
    return look(user, generation_id)


OwnJob = Annotated[GenerationOut, Depends(own_job)]


def wait_seconds(prefer: str | None) -> float:
    found = re.search(r"\bwait=(\d{1,4})\b", prefer or "")
    return min(float(found[1]), LONGEST_WAIT) if found else 0.0


async def wait_for_end(user: Principal, job_id: str, start: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            async for _, event in events_of(user, job_id, start):
                if isinstance(event, StatusEvent) and event.status in FINISHED:
                    return
    except TimeoutError:
        return


async def events_of(user: Principal, job_id: str, after: str) -> AsyncIterator[tuple[str | None, Event]]:
    """Events of one job from `after` on, ending with its end. Whether Redis is there or not, the row decides."""
    looked = time.monotonic()
    while True:
        async for entry in subscribe(user.id, after, LOOK_AGAIN):
            if entry is not None:
                after, event = entry
                if event.generation == job_id:
                    yield after, event
                    if isinstance(event, StatusEvent) and event.status in FINISHED:
                        return
            if time.monotonic() - looked > LOOK_AGAIN * 0.9:  # quiet, or only other jobs' events: ask the row
                looked = time.monotonic()
                job = await run_in_threadpool(look, user, job_id)
                if job.status in ("queued", *FINISHED):
                    yield None, status_event(job)
                if job.status in FINISHED:
                    return
        await asyncio.sleep(LOOK_AGAIN / 2)  # Redis is away: watch the row
        job = await run_in_threadpool(look, user, job_id)
        yield None, status_event(job)
        if job.status in FINISHED:
            return


def resume_from(last_event_id: str | None) -> str:
    """The id if it is one of Redis's, else ""."""
    return last_event_id if last_event_id and re.fullmatch(r"\d+-\d+", last_event_id) else ""


def status_event(job: GenerationOut) -> StatusEvent:
    return StatusEvent(
        generation=job.id,
        status=job.status,
        artworks=[work.id for work in job.artworks],
        error=job.error,
        queue_position=job.queue_position,
    )


@router.get("", summary="List jobs, newest first")
def list_generations(
    user: User,
    cursor: Cursor = None,
    limit: Limit = 50,
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"] | None = None,
) -> GenerationList:
    with session_scope(writing=False) as session:
        found, more = service.page(session, user, decode(cursor), limit, status)
        return GenerationList(items=service.describe(session, found), next_cursor=encode(more) if more else None)


@router.get("/{generation_id}", summary="One job")
def get_generation(user: User, generation_id: Id) -> GenerationOut:
    return look(user, generation_id)


@router.post(
    "/{generation_id}/cancellation",
    summary="Cancel a job",
    responses={409: {"description": "The job has ended already"}},
)
def cancel(user: User, generation_id: Id) -> GenerationOut:
    with session_scope() as session:
        job = service.cancel(session, service.get(session, user, generation_id))
        described = service.describe_one(session, job)
    if described.status == "cancelled":
        publish(user.id, status_event(described))
    return described


@router.get("/{generation_id}/events", response_class=EventSourceResponse, summary="Live events of a job")
async def events(
    request: Request,
    user: User,
    job: OwnJob,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """`status`, `progress` and `preview` events; ends with the job. Resumable by `Last-Event-ID`."""
    resumed = resume_from(last_event_id)
    if not resumed:
        yield ServerSentEvent(data=status_event(job), event="status")
    if job.status in FINISHED:
        if resumed:
            yield ServerSentEvent(data=status_event(job), event="status")
        return
    start = resumed or "0"  # what is kept of the user's stream is short
    began = time.monotonic()
    async for identifier, event in events_of(user, job.id, start):
        yield ServerSentEvent(data=event, event=event.type, id=identifier)
        if time.monotonic() - began > LONGEST_STREAM or not await may_go_on(request):
            return


events_router = APIRouter(tags=["generations"])


@events_router.get("/events", response_class=EventSourceResponse, summary="Live events of all own jobs")
async def all_events(
    request: Request,
    user: User,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """One stream a page, however many jobs it shows: browsers allow few connections to a host.

    Starts with the status of every unfinished job; every few seconds places in the queue, and ends that were missed.
    """
    after = resume_from(last_event_id) or str(await run_in_threadpool(last_id, user.id))
    watched: set[str] = set()
    began, looked = time.monotonic(), 0.0
    while time.monotonic() - began < LONGEST_STREAM:
        async for entry in subscribe(user.id, after, LOOK_AGAIN):
            if entry is not None:
                after, event = entry
                yield ServerSentEvent(data=event, event=event.type, id=after)
            if time.monotonic() - looked > LOOK_AGAIN * 0.9:
                looked = time.monotonic()
                watched, changed = await run_in_threadpool(look_around, user, watched)
                for status in changed:
                    yield ServerSentEvent(data=status, event="status")
                if time.monotonic() - began > LONGEST_STREAM or not await may_go_on(request):
                    return
        await asyncio.sleep(LOOK_AGAIN)  # Redis is away


def look_around(user: Principal, watched: set[str]) -> tuple[set[str], list[StatusEvent]]:
    """(ids of the unfinished jobs now, status of those and of the watched ones that have ended since)."""
    with session_scope(writing=False) as session:
        jobs = service.unfinished(session, user)
        ended = service.ended(session, user, watched - {job.id for job in jobs})
        described = service.describe(session, [*jobs, *ended])
    return {job.id for job in jobs}, [status_event(job) for job in described]
