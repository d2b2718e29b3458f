"""Training runs: look at, steer, publish. Takes a session and never commits; `workers/training` runs them."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.checkpoints import importing
from app.database import now, session_scope
from app.errors import Conflict, NotFound
from app.settings import get_settings
from app.training_runs.planning import invalid, never_flat
from app.training_runs.schemas import ExtensionIn, PublicationIn, RunProgress, TrainingRunOut
from app.training_runs.tables import AT_REST, TrainingRun
from models.contract.card import CheckpointError, read_card
from models.contract.files import locked
from models.contract.message import Message
from models.contract.publication import publish as publish_checkpoint
from models.contract.recipe import completed
from models.contract.registry import families
from models.contract.run_folder import RunFolder


def folder(run_id: str) -> RunFolder:
    return RunFolder(get_settings().data / "runs" / run_id)


# --- look -----------------------------------------------------------------------------------------------------------


def get(session: Session, run_id: str) -> TrainingRun:
    run = session.get(TrainingRun, run_id)
    if run is None:
        raise NotFound("There is no such training run")
    return run


def page(session: Session, before: str | None, limit: int) -> tuple[list[TrainingRun], str | None]:
    """(newest first, id that the next page starts after)."""
    query = select(TrainingRun).order_by(TrainingRun.id.desc()).limit(limit + 1)
    found = list(session.scalars(query.where(TrainingRun.id < before) if before else query))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def is_measured(run: TrainingRun) -> bool:
    """Whether the figures are just being written into the card of its model."""
    return run.status == "running" and run.phase == "evaluating"


def describe(run: TrainingRun) -> TrainingRunOut:
    active = run.status == "running" and 0 < run.progress < 1
    return TrainingRunOut(
        id=run.id,
        name=run.name,
        status=run.status,
        phase=run.phase if run.status == "running" else "",
        family=run.family,
        dataset=run.dataset_id,
        collection=run.collection,
        version=run.version,
        preparation=run.preparation,
        params=run.params,
        steps=run.steps,
        minutes=run.minutes,
        patience=run.patience,
        seed=run.seed,
        evaluate=run.evaluate,
        pieces=run.pieces,
        progress=RunProgress(step=run.step, total=run.steps, share=run.progress),
        seconds=run.seconds,
        seconds_left=run.seconds * (1 - run.progress) / run.progress if active else None,
        saved_step=run.saved,
        error=run.error,
        model=run.model,
        publishable=not is_measured(run) and (folder(run.id).model / "card.json").is_file(),
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


# --- steer ----------------------------------------------------------------------------------------------------------


def change(session: Session, run: TrainingRun, statuses: tuple[str, ...], **values: Any) -> bool:
    """Change the row while it is in one of these statuses; False: it is not any more."""
    done = session.execute(
        update(TrainingRun).where(TrainingRun.id == run.id, TrainingRun.status.in_(statuses)).values(values)
    )
    session.refresh(run)
    return bool(done.rowcount)  # type: ignore[attr-defined]


def cancel(session: Session, run: TrainingRun) -> TrainingRun:
    """A run at rest ends now, a running one within a second or two; its checkpoints stay. Raises Conflict."""
    if run.status == "cancelled":
        return run
    if change(session, run, ("queued", "paused"), status="cancelled", cancel_requested=True, finished_at=now()):
        return run
    if change(session, run, ("running",), cancel_requested=True):
        return run
    raise Conflict("The run has already {status}", status=Message(run.status))


def pause(session: Session, run: TrainingRun) -> TrainingRun:
    """A running run saves its state first. Raises Conflict when it has ended."""
    if run.status == "paused":
        return run
    if change(session, run, ("queued",), status="paused", pause_requested=True):
        return run
    if change(session, run, ("running",), pause_requested=True):
        return run
    raise Conflict("The run is over ({status}); there is nothing to pause", status=Message(run.status))


AGAIN: dict[str, Any] = {
    "status": "queued",
    "cancel_requested": False,
    "pause_requested": False,
    "attempt": 0,
    "error": None,
    "finished_at": None,
}


def resume(session: Session, run: TrainingRun) -> TrainingRun:
    """Go on from the newest checkpoint: after a pause, also one that was only asked for, a failure or a cancellation.

    Raises Conflict.
    """
    if run.status == "succeeded":
        raise Conflict("The run is done; extend it to train further")
    if not change(session, run, ("paused", "failed", "cancelled"), **AGAIN):
        change(session, run, ("running",), pause_requested=False)  # it may be saving its state for a pause
    return run


def conclude(session: Session, run: TrainingRun) -> TrainingRun:
    """Let a run at rest end with its newest checkpoint: it makes its model of that. One that is measured goes without.

    Raises Conflict.
    """
    if is_measured(run) and change(session, run, ("running",), evaluate=False):
        return run
    if not run.saved:
        raise Conflict("The run has saved nothing yet")
    if not change(session, run, ("paused", "failed", "cancelled"), **AGAIN, steps=run.saved):
        raise Conflict("Pause the run first")
    return run


def extend(session: Session, run: TrainingRun, given: ExtensionIn) -> TrainingRun:
    """Change the budget; a run that is done goes on with it, a running one is started anew from its next step.

    A run that is done loses its patience unless a new one is given. Raises Invalid when there is nothing to change or
    the budget is spent already.
    """
    if run.status == "succeeded" and not run.saved:
        raise Conflict("The state of this run was deleted; start a new one from its model")
    budget = given.model_dump(exclude_none=True)
    if not budget:
        raise invalid("steps", why=Message("Give the new steps, minutes or patience"))
    family = families().get(run.family)
    if given.patience and family and family.training:
        params = family.training.model_validate(completed(run.params, family.training))
        if not family.supports_early_stopping(params):
            raise never_flat()
    if given.steps is not None and given.steps <= run.saved:
        raise invalid("steps", why=Message("The run has done {steps} steps already", steps=run.saved))
    minutes = given.minutes or run.minutes
    if minutes is not None and minutes * 60 <= run.seconds:
        raise invalid(
            "minutes",
            why=Message("The run has trained {minutes:.1f} minutes already; give it more", minutes=run.seconds / 60),
        )
    change(session, run, ("queued", "running", *AT_REST), **budget)
    # One that has ended on a plateau is to go on nevertheless.
    change(session, run, ("succeeded",), **AGAIN, **({} if given.patience else {"patience": None}))
    return run


def remove(session: Session, run: TrainingRun) -> str | None:
    """Returns the folder of prepared pictures that no other run uses. Raises Conflict while it waits or runs."""
    if run.status not in AT_REST:
        raise Conflict("Cancel the run first")
    others = select(TrainingRun.id).where(TrainingRun.prepared == run.prepared, TrainingRun.id != run.id).limit(1)
    own = run.prepared if run.prepared and not is_starter(run) and session.scalar(others) is None else None
    session.delete(run)
    return own


def is_starter(run: TrainingRun) -> bool:
    """Whether it sees a starter collection, which no run owns."""
    return run.prepared is not None and run.prepared.startswith("datasets/")


def discard(run_id: str, pictures: str | None) -> None:
    """Delete the files of a run whose row is gone. Call after the commit.

    Prepared pictures stay where another run has come to use them, or is just preparing the same.
    """
    shutil.rmtree(folder(run_id).path, ignore_errors=True)
    if not pictures:
        return
    place = get_settings().data / pictures
    with suppress(TimeoutError), locked(place, 0):
        with session_scope(writing=False) as session:
            used = session.scalar(select(TrainingRun.id).where(TrainingRun.prepared == pictures).limit(1))
        if used is None:
            shutil.rmtree(place, ignore_errors=True)


# --- publish --------------------------------------------------------------------------------------------------------


def trained(run: TrainingRunOut) -> dict[str, Any]:
    """The card of what a run has made; {} while there is none."""
    try:
        return read_card(folder(run.id).model) if run.publishable else {}
    except CheckpointError:
        return {}


def name_model(session: Session, name: str, run_id: str | None) -> None:
    """From now on this run, and no other, is published under the name; None for no run at all."""
    session.execute(update(TrainingRun).where(TrainingRun.model == name).values(model=None))
    if run_id is not None:
        get(session, run_id).model = name


def behind(session: Session, name: str) -> TrainingRun | None:
    """The run that is published under this name."""
    return session.scalar(select(TrainingRun).where(TrainingRun.model == name))


def publish(run: TrainingRunOut, given: PublicationIn) -> Path:
    """Copy what the run has trained to the checkpoints that artists see. Raises Conflict.

    Takes no session: copying large weights must not hold a transaction open.
    """
    words = {
        "title": given.title or run.name,
        "description": given.description,
        "license": given.license,
        "trained_on": run.collection,
    }
    if not run.publishable:
        raise Conflict("The run has no model yet; there will be one when the run is done and measured")
    try:
        return publish_checkpoint(
            folder(run.id).model,
            get_settings().data / "checkpoints",
            given.name,
            given.replace,
            words={key: value for key, value in words.items() if value},
            prove=importing.prove,
        )
    except CheckpointError as error:
        raise Conflict("It cannot be published: {reason}", reason=error.message) from error
