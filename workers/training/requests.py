"""What the row of a run asks of its process, and what the row is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import session_scope
from app.training_runs.tables import TrainingRun
from models.contract.sampling import Cancelled
from workers import lease, shutdown
from workers.lease import Lease


@dataclass(frozen=True)
class Requests:
    """What the row asks of a running process."""

    cancel: bool
    pause: bool
    new_budget: bool
    skip: bool = False  # the measurement


def read(session: Session, taken: Lease[TrainingRun], lock: bool = False) -> Requests | None:
    """None when the lease is no longer ours. `lock`: no request comes in between before the transaction ends."""
    query = select(
        TrainingRun.cancel_requested,
        TrainingRun.pause_requested,
        TrainingRun.evaluate,
        TrainingRun.steps,
        TrainingRun.minutes,
        TrainingRun.patience,
    ).where(lease.held(taken))
    row = session.execute(query.with_for_update() if lock else query).first()
    if row is None:
        return None
    cancel, pause, evaluate, *budget = row
    new_budget = budget != [taken.row.steps, taken.row.minutes, taken.row.patience]
    return Requests(cancel, pause, new_budget, skip=taken.row.evaluate and not evaluate)


def check(taken: Lease[TrainingRun]) -> None:
    """While nothing can be saved yet. Raises Cancelled when the run is to stop or the lease is gone."""
    with session_scope(writing=False) as session:
        requests = read(session, taken)
    if requests is None or requests.cancel or requests.pause or shutdown.begun.is_set():
        raise Cancelled


def report(taken: Lease[TrainingRun], **values: Any) -> None:
    with session_scope() as session:
        session.execute(update(TrainingRun).where(lease.held(taken)).values(**values))
