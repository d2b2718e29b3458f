"""One sitting of one run: claim it, prepare, train for as long as it takes, settle."""

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
from workers.training.outcome import End, Outcome, oom_kills, outcome_of
from workers.training.wishes import look

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
    """One sitting. Whatever goes wrong ends, or puts back, the run with a reason; surroundings that fail cost it none.

    Raises what failed of the surroundings.
    """
    run = taken.row
    bound = log.bind(run=run.id, request=run.request_id, attempt=taken.attempt)
    fault: Exception | None = None
    try:
        service.folder(run.id).path.mkdir(parents=True, exist_ok=True)
        prepared = collection.prepared(taken)
        crash_points.reach("prepared")
        outcome = sit(taken, prepared)
        bound.info("training_sitting_ended", outcome=outcome.status, reason=outcome.reason)
    except Cancelled:
        outcome = Outcome("let go")
    except Exception as error:
        outcome = outcome_of_error(error)
        if outcome.status == "let go":
            fault = error
        else:
            bound.exception("training_failed")
    loop.patiently(lambda: settle(taken, outcome))
    if fault is not None:
        raise fault


def outcome_of_error(error: Exception) -> Outcome:
    if (fault := outage(error)) and not isinstance(fault, StorageFull):
        return Outcome("let go")
    if isinstance(error, MessageError):
        return Outcome("failed", error.message)
    if isinstance(error, OSError):
        return Outcome("failed", Message("The run could not start: {reason}", reason=error))
    return Outcome("again", Message("The training worker failed; its log has the details under this run's id."))


def sit(taken: Lease[TrainingRun], prepared: Path) -> Outcome:
    """Start the process, watch it until it ends, say what its end means."""
    kills = oom_kills()
    started = process.start(taken.row, prepared)
    crash_points.reach("started")
    try:
        wish = process.watch(taken, started)
    finally:
        process.end_group(started)
    said = service.folder(taken.job).progress()
    loop.patiently(lambda: process.follow(taken, said))
    return outcome_of(taken, End(started.returncode, said, wish, oom_kills() - kills))


def settle(taken: Lease[TrainingRun], outcome: Outcome) -> None:
    """One transaction ends the sitting, if the lease is still ours."""
    crash_points.reach("before_settling")
    with session_scope() as session:
        wishes = look(session, taken, lock=True)
        if wishes is None:
            log.warning("training_ended_without_lease", run=taken.job)
        elif outcome.status == "succeeded" and not wishes.new_budget:
            taken.total = taken.step  # fewer than its steps where it ended by its minutes or on a plateau
            lease.end(session, taken, "succeeded")
        elif outcome.status == "failed" or (outcome.status == "again" and taken.attempt >= MAX_ATTEMPTS):
            lease.end(session, taken, "failed", outcome.reason)
        else:
            lease.put_back(session, taken, spare_attempt=outcome.status != "again")
            # Where a run waits or rests it shows how far it is.
            session.execute(update(TrainingRun).where(TrainingRun.id == taken.job).values(step=taken.step))
    taken.state = "settled"
