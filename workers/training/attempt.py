"""One attempt of one run: claim it, prepare, train for as long as it takes, settle."""

from __future__ import annotations

from pathlib import Path

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import session_scope
from app.errors import StorageFull
from app.jobs.sweeper import MAX_ATTEMPTS
from app.outages import outage
from app.training_runs import service
from app.training_runs.tables import TrainingRun
from models.contract.message import Message, MessageError
from models.contract.sampling import Cancelled
from workers import crash_points, lease, loop
from workers.gauging import gauge_when_idle
from workers.lease import Heartbeat, Lease
from workers.training import collection, process
from workers.training.requests import read
from workers.training.result import End, Result, oom_kills, result_of

BESIDE = (gauge_when_idle,)
log = structlog.get_logger()


def prepare() -> None:
    """Nothing: the process of a run loads what it needs."""


def work_once(queue: str, worker: str) -> bool:
    """Claim and run one training run, for as long as it takes; False when none waited."""
    with session_scope() as session:
        taken = claim(session, queue, worker)
    if taken is None:
        return False
    loop.claimed()
    crash_points.reach("claimed")
    with Heartbeat([taken]):
        attempt(taken)
    return True


def claim(session: Session, queue: str, worker: str) -> Lease[TrainingRun] | None:
    """The next run by priority and age."""
    query = (
        select(TrainingRun)
        .where(TrainingRun.status == "queued", TrainingRun.queue == queue)
        .order_by(TrainingRun.priority.desc(), TrainingRun.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    run = session.scalar(query)
    taken = lease.take(session, run, worker) if run else []
    return taken[0] if taken else None


def attempt(taken: Lease[TrainingRun]) -> None:
    """One attempt. Whatever goes wrong ends, or puts back, the run with a reason; surroundings that fail cost it none.

    Raises what failed of the surroundings.
    """
    run = taken.row
    bound = log.bind(run=run.id, request=run.request_id, attempt=taken.attempt)
    fault: Exception | None = None
    try:
        service.folder(run.id).path.mkdir(parents=True, exist_ok=True)
        prepared = collection.prepared(taken)
        crash_points.reach("prepared")
        result = train(taken, prepared)
        bound.info("training_attempt_ended", result=result.status, reason=result.reason)
    except Cancelled:
        result = Result("released")
    except Exception as error:
        result = result_of_error(error)
        if result.status == "released":
            fault = error
        else:
            bound.exception("training_failed")
    loop.patiently(lambda: settle(taken, result))
    if fault is not None:
        raise fault


def result_of_error(error: Exception) -> Result:
    if (fault := outage(error)) and not isinstance(fault, StorageFull):
        return Result("released")
    if isinstance(error, MessageError):
        return Result("failed", error.message)
    if isinstance(error, OSError):
        return Result("failed", Message("The run could not start: {reason}", reason=error))
    return Result("again", Message("The training worker failed; its log has the details under this run's id."))


def train(taken: Lease[TrainingRun], prepared: Path) -> Result:
    """Start the process, watch it until it ends, say what its end means."""
    kills = oom_kills()
    started = process.start(taken.row, prepared)
    crash_points.reach("started")
    try:
        request = process.watch(taken, started)
    finally:
        process.end_group(started)
    said = service.folder(taken.job).progress()
    loop.patiently(lambda: process.follow(taken, said))
    return result_of(taken, End(started.returncode, said, request, oom_kills() - kills))


def settle(taken: Lease[TrainingRun], result: Result) -> None:
    """One transaction ends the attempt, if the lease is still ours."""
    crash_points.reach("before_settling")
    with session_scope() as session:
        requests = read(session, taken, lock=True)
        if requests is None:
            log.warning("training_ended_without_lease", run=taken.job)
        elif result.status == "succeeded" and not requests.new_budget:
            taken.total = taken.step  # fewer than its steps where it ended by its minutes or on a plateau
            lease.end(session, taken, "succeeded")
        elif result.status == "failed" or (result.status == "again" and taken.attempt >= MAX_ATTEMPTS):
            lease.end(session, taken, "failed", result.reason)
        else:
            lease.release(session, taken, spare_attempt=result.status != "again")
            # Where a run waits or rests it shows how far it is.
            session.execute(update(TrainingRun).where(TrainingRun.id == taken.job).values(step=taken.step))
    taken.state = "settled"
