"""/api/v1/training-runs and /training-families; for admins."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request, Response, status
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.orm import Session

from app.database import session_scope
from app.errors import NotFound
from app.i18n import language_of, translate
from app.jobs.following import Listening
from app.jobs.queue import ring
from app.media.listening import Listening as Played
from app.media.listening import listening
from app.training_runs import planning, service
from app.training_runs.estimates import estimate
from app.training_runs.schemas import (
    CurvesOut,
    Estimate,
    ExtensionIn,
    PresetOut,
    SheetList,
    SheetOut,
    TrainingFamilyList,
    TrainingFamilyOut,
    TrainingRunIn,
    TrainingRunList,
    TrainingRunOut,
)
from app.training_runs.tables import AT_REST, TRAINING, TrainingRun
from app.users.deps import Admin
from app.web.lanes import READING
from app.web.openapi import events as events_of
from app.web.paging import Cursor, Limit, decode, encode
from app.web.parameters import Id
from app.web.routing import Router

router = Router(prefix="/training-runs", tags=["training"])
families_router = Router(prefix="/training-families", tags=["training"])
LONGEST_STREAM = 3600.0
LOOK_SECONDS = 0.7
LINES = 500  # metrics in one event
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"description": "Not in the run's present state"}}


@families_router.get("", summary="What can be trained: parameters, presets, what they would take")
def list_families(admin: Admin) -> TrainingFamilyList:
    with session_scope(writing=False) as session:
        return TrainingFamilyList(items=[describe_family(session, name) for name in planning.offered()])


def describe_family(session: Session, name: str, over: dict[str, Any] | None = None) -> TrainingFamilyOut:
    """`over` are parameters over those of the presets, for their estimates."""
    family = planning.trainable()[name]
    assert family.training is not None
    return TrainingFamilyOut(
        name=family.name,
        title=family.title,
        learns=family.learns,
        params=family.training.model_json_schema(),
        preparation=family.preparation.model_json_schema(),
        presets=[
            PresetOut(
                name=preset.name,
                title=preset.title,
                steps=preset.steps,
                params=preset.params,
                estimate=planning.expected(session, family, preset.name, over or {}),
            )
            for preset in family.presets
        ],
    )


# --- runs -----------------------------------------------------------------------------------------------------------


@router.post("", status_code=status.HTTP_202_ACCEPTED, summary="Launch a run")
def create(admin: Admin, request: Request, response: Response, given: TrainingRunIn) -> TrainingRunOut:
    expected = create_estimate(admin, given)
    with session_scope() as session:
        run = service.describe(planning.create(session, admin, given, expected, request.state.id))
    ring(TRAINING, run.id)
    response.headers["Location"] = f"/api/v1/training-runs/{run.id}"
    return run


@router.post("/estimates", summary="What a run would take, without launching it")
def create_estimate(admin: Admin, given: TrainingRunIn) -> Estimate:
    with session_scope(writing=False) as session:
        family, params, steps = planning.planned(given)
        return estimate(session, family, params, steps, given.minutes)


@router.get("", summary="List runs, newest first")
def list_runs(admin: Admin, cursor: Cursor = None, limit: Limit = 50) -> TrainingRunList:
    with session_scope(writing=False) as session:
        found, more = service.page(session, decode(cursor), limit)
        items = [service.describe(run) for run in found]
    return TrainingRunList(items=items, next_cursor=encode(more) if more else None)


def get(run_id: str) -> TrainingRunOut:
    with session_scope(writing=False) as session:
        return service.describe(service.get(session, run_id))


def existing(admin: Admin, run_id: Id) -> TrainingRunOut:
    """A dependency: a stream or a file must refuse before its first byte."""
    return get(run_id)


Existing = Annotated[TrainingRunOut, Depends(existing)]


@router.get("/{run_id}", summary="One run")
def get_run(run: Existing) -> TrainingRunOut:
    return run


@router.delete("/{run_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a run", responses=CONFLICT)
def delete_run(admin: Admin, run_id: Id) -> None:
    """With its curves, samples and checkpoints. What was published from it stays."""
    with session_scope() as session:
        unused = service.remove(session, service.get(session, run_id))
    service.discard(run_id, unused)


# --- steering -------------------------------------------------------------------------------------------------------


@router.post("/{run_id}/cancellation", summary="Cancel a run; its checkpoints stay", responses=CONFLICT)
def cancel(admin: Admin, run_id: Id) -> TrainingRunOut:
    with session_scope() as session:
        return service.describe(service.cancel(session, service.get(session, run_id)))


@router.post("/{run_id}/pause", summary="Save and pause a run", responses=CONFLICT)
def pause(admin: Admin, run_id: Id) -> TrainingRunOut:
    with session_scope() as session:
        return service.describe(service.pause(session, service.get(session, run_id)))


def set_going(run_id: str, steer: Callable[[Session, TrainingRun], TrainingRun]) -> TrainingRunOut:
    """Change a run so that there is something to do, and say so to the workers."""
    with session_scope() as session:
        run = service.describe(steer(session, service.get(session, run_id)))
    ring(TRAINING, run.id)
    return run


@router.post("/{run_id}/resumption", summary="Go on from the newest checkpoint", responses=CONFLICT)
def resume(admin: Admin, run_id: Id) -> TrainingRunOut:
    return set_going(run_id, service.resume)


@router.post("/{run_id}/conclusion", summary="End a run at rest with its newest checkpoint", responses=CONFLICT)
def conclude(admin: Admin, run_id: Id) -> TrainingRunOut:
    """It makes its model of what is saved, and measures it."""
    return set_going(run_id, service.conclude)


@router.post("/{run_id}/extension", summary="Change the budget of a run")
def extend(admin: Admin, run_id: Id, given: ExtensionIn) -> TrainingRunOut:
    return set_going(run_id, partial(service.extend, given=given))


# --- watching -------------------------------------------------------------------------------------------------------


@router.get("/{run_id}/metrics", summary="The curves")
def get_metrics(run: Existing) -> CurvesOut:
    return CurvesOut(curves=service.folder(run.id).curves())


@router.get("/{run_id}/samples", summary="Sample sheets, by step")
def list_samples(run: Existing) -> SheetList:
    folder = service.folder(run.id)
    url = f"/api/v1/training-runs/{run.id}/samples"
    sheets = [SheetOut(step=step, url=f"{url}/{step}") for step, _ in folder.sheets()]
    return SheetList(items=sheets, prompts=folder.watched())


@router.get(
    "/{run_id}/samples/{step}",
    summary="The sample sheet of a step",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}, "text/plain": {}}}},
)
def get_sample(run: Existing, step: Annotated[int, Path(ge=0)]) -> FileResponse:
    found = dict(service.folder(run.id).sheets()).get(step)
    if found is None:
        raise NotFound("There is no sheet of this step")
    media_type = "text/plain" if found.suffix == ".txt" else "image/png"
    return FileResponse(found, media_type=media_type, headers={"Cache-Control": "private, no-cache"})


@router.get("/{run_id}/samples/{step}/notes", summary="The pieces of a step's sheet, to be played")
def get_pieces(run: Existing, step: Annotated[int, Path(ge=0)]) -> list[Played]:
    if not (pieces := service.folder(run.id).pieces(step)):
        raise NotFound("There are no pieces of this step")
    return [listening(score) for score in pieces]


@router.get("/{run_id}/log", summary="The end of the log", response_class=PlainTextResponse)
def get_log(run: Existing) -> PlainTextResponse:
    return PlainTextResponse(service.folder(run.id).tail())


@router.get(
    "/{run_id}/events",
    response_class=EventSourceResponse,
    summary="Live events of a run",
    openapi_extra=events_of(run=TrainingRunOut, metrics=list[dict[str, float]], samples=list[int]),
)
async def events(
    request: Request,
    admin: Admin,
    listener: Listening,
    run: Existing,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """`run` (the run itself), `metrics` (lines of the curves) and `samples` (steps); ends when the run rests.

    Reads the run's row and files, so nothing is lost with Redis; an event's id is how far the curves were read.
    """
    offset = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else 0
    said, shown, language = "", list[int](), language_of(request)
    began = time.monotonic()
    while not listener.is_ended and time.monotonic() - began < LONGEST_STREAM:
        now, lines, steps = await READING.run(admin.id, partial(progress, run.id, offset))
        if lines:
            offset = lines[-1][0]
            yield ServerSentEvent(data=[line for _, line in lines], event="metrics", id=str(offset))
        if len(lines) == LINES:  # there is more
            continue
        if steps != shown:
            shown = steps
            yield ServerSentEvent(data=shown, event="samples", id=str(offset))
        if (text := now.model_dump_json()) != said:
            said = text
            spoken = {**json.loads(text), "error": translate(language, now.error) or None}
            yield ServerSentEvent(data=spoken, event="run", id=str(offset))
        if now.status in AT_REST:
            return
        await asyncio.sleep(LOOK_SECONDS)


def progress(run_id: str, offset: int) -> tuple[TrainingRunOut, list[tuple[int, dict[str, Any]]], list[int]]:
    """(the run, lines of its curves from an offset on, steps of its sheets). The row is read first: its end is last."""
    now = get(run_id)
    return now, lines_after(run_id, offset), [step for step, _ in service.folder(run_id).sheets()]


def lines_after(run_id: str, offset: int) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for entry in service.folder(run_id).lines(offset):
        found.append(entry)
        if len(found) == LINES:
            break
    return found
