"""/api/v1/generations and the live events of jobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Annotated, BinaryIO, Literal

from fastapi import Depends, Header, Request, Response, status
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.database import session_scope
from app.errors import Conflict, NotFound
from app.generations import restoring, service, streams
from app.generations.schemas import (
    Cancellations,
    CancellationsOut,
    GenerationIn,
    GenerationList,
    GenerationOut,
    Restoration,
)
from app.generations.streams import describe, sent, status_event
from app.generations.tables import FINISHED
from app.i18n import language_of, translate
from app.jobs.events import PreviewEvent, ProgressEvent, StatusEvent, publish
from app.jobs.following import Listening, following
from app.jobs.queue import ring
from app.media import signed
from app.security import Principal
from app.uploads import service as uploads
from app.uploads.form import OPENAPI, received
from app.users.deps import User
from app.web.lanes import DECODING, READING, WRITING
from app.web.openapi import events as events_of
from app.web.paging import Cursor, Limit, decode, encode
from app.web.parameters import Id
from app.web.routing import Router

router = Router(prefix="/generations", tags=["generations"])
OF_JOBS = events_of(status=StatusEvent, progress=ProgressEvent, preview=PreviewEvent)
LONGEST_WAIT = 60  # seconds
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
    str | None,
    Header(
        max_length=200,
        description="`wait=30` answers when the job has ended, or after 30 seconds; `wait` alone means 60, and no wait "
        "is longer. `Preference-Applied` says which",
    ),
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
    seconds = wait_seconds(request.headers.getlist("prefer") if prefer else [])
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    async with following.listen(user) as listener:
        job = await WRITING.run(user.id, partial(create, user, given, idempotency_key, request.state.id))
        response.headers["Location"] = f"/api/v1/generations/{job.id}"
        if seconds and job.status not in FINISHED:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    async for _ in streams.of_job(listener, job.id):
                        pass
            job = await READING.run(user.id, partial(describe, user, job.id))
    if seconds and job.status in FINISHED:
        response.status_code = status.HTTP_201_CREATED
    return job


@router.post("/restoration", summary="The request that a work's file tells", openapi_extra=OPENAPI)
async def restoration(user: User, request: Request) -> Restoration:
    """Of a file that this or another studio has made. Nothing is drawn or kept."""
    async with received(request, user.id) as (file, _):
        return await DECODING.run(user.id, partial(restore, user, file, language_of(request)))


def restore(user: Principal, file: BinaryIO, language: str) -> Restoration:
    with session_scope(writing=False) as session:
        found = restoring.restore(session, user, signed(uploads.content_of(file)))
    return found.model_copy(update={"differences": [translate(language, each) for each in found.differences]})


def create(user: Principal, given: GenerationIn, key: str | None, request_id: str) -> GenerationOut:
    """One transaction, then the doorbell: never the other way round."""
    with session_scope() as session:
        job, new = service.submit(session, user, given, key, request_id)
        described = service.describe_one(session, job)
    if new and ring(job.queue, job.id):  # where that failed, the other would wait for the same
        publish(user.id, status_event(described))  # other tabs show it too
    return described


def own_job(user: User, generation_id: Id) -> GenerationOut:
    """A dependency: a stream must refuse before its first byte."""
    return describe(user, generation_id)


OwnJob = Annotated[GenerationOut, Depends(own_job)]


def wait_seconds(prefer: list[str]) -> int:
    """RFC 7240: the first `wait` counts, alone it is as long as may be; what is no number is no preference."""
    for preference in ",".join(prefer).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            value = value.strip().strip('"')
            if not value:
                return LONGEST_WAIT
            return min(int(value[:9]), LONGEST_WAIT) if value.isascii() and value.isdecimal() else 0
    return 0


def resume_from(last_event_id: str | None) -> str:
    """The id if it is one of Redis's, else ""."""
    return last_event_id if last_event_id and re.fullmatch(r"\d+-\d+", last_event_id) else ""


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


@router.post("/cancellations", summary="Cancel many jobs")
def cancel_many(user: User, wanted: Cancellations) -> CancellationsOut:
    found: dict[str, list[str]] = {"cancelled": [], "ended": [], "missing": []}
    events = []
    for identifier in dict.fromkeys(wanted.ids):
        try:
            with session_scope() as session:
                job = service.cancel(session, service.get(session, user, identifier))
                found["cancelled"].append(identifier)
                if job.status == "cancelled":
                    events.append(status_event(service.describe_one(session, job)))
        except Conflict:
            found["ended"].append(identifier)
        except NotFound:
            found["missing"].append(identifier)
    for event in events:
        publish(user.id, event)
    return CancellationsOut(**found)


@router.get("/{generation_id}", summary="One job")
def get_generation(user: User, generation_id: Id) -> GenerationOut:
    return describe(user, generation_id)


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


@router.get(
    "/{generation_id}/events",
    response_class=EventSourceResponse,
    summary="Live events of a job",
    openapi_extra=OF_JOBS,
)
async def events(
    user: User,
    listener: Listening,
    job: OwnJob,  # looked up after the listener is there: from then on its events are heard
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """`status`, `progress` and `preview` events; ends with the job. Resumable by `Last-Event-ID`."""
    resumed = resume_from(last_event_id)
    if not resumed or job.status in FINISHED:
        yield sent(status_event(job))
    if job.status in FINISHED:
        return
    for entry in [] if resumed else following.previews({job.id}):
        yield sent(entry)
    async for event in streams.of_job(listener, job.id, resumed):
        yield sent(event)


events_router = Router(tags=["generations"])


@events_router.get(
    "/events", response_class=EventSourceResponse, summary="Live events of all own jobs", openapi_extra=OF_JOBS
)
async def all_events(
    listener: Listening, last_event_id: Annotated[str | None, Header(max_length=64)] = None
) -> AsyncIterator[ServerSentEvent]:
    """One stream a page, however many jobs it shows: browsers allow few connections to a host.

    Starts with the status of every unfinished job; now and then places in the queue, and ends that were missed.
    """
    async for event in streams.of_user(listener, resume_from(last_event_id)):
        yield sent(event)
