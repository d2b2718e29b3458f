"""What a run would take, before it is launched: memory by the family's measured formula, time by the latest run
like it, or by the speed of the machine.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.machines import liveness
from app.machines.tables import Worker
from app.settings import get_settings
from app.training_runs.schemas import Estimate
from app.training_runs.tables import TRAINING, TrainingRun
from models.contract.family import Family
from models.contract.fine_tuning import marked, network_of
from models.contract.recipe import completed
from models.contract.run_folder import RunFolder

SHARE = 0.85  # of a worker's memory that a run may take
LOOK_BACK = 20  # runs


def estimate(session: Session, family: Family, params: BaseModel, steps: int, minutes: float | None) -> Estimate:
    """Memory, held to by working on a batch in pieces, and time. Raises Invalid where not even one picture fits."""
    assert family.cost is not None
    cost = family.cost(params)
    batch = int(getattr(params, "batch_size", 1))
    workers = training_workers(session)
    room = memory_of(workers)
    pieces = 1
    while room and cost.fixed_bytes + cost.item_bytes * -(-batch // pieces) > room:
        if pieces >= batch:
            needed = (cost.fixed_bytes + cost.item_bytes) / 2**30
            raise Invalid(
                "This needs {needed:.1f} GiB of memory with one picture at a time; "
                "the training worker has {there:.1f} GiB for it",
                needed=needed,
                there=room / 2**30,
                errors=[{"loc": ["body", "params"], "msg": "needs more memory than there is"}],
            )
        pieces *= 2
    rate = measured_here(session, family, params)
    speed = None if rate else speed_of(workers)
    seconds = steps * batch / (rate or cost.items_per_second * (speed or 1))
    return Estimate(
        memory_bytes=cost.fixed_bytes + cost.item_bytes * -(-batch // pieces),
        pieces=pieces,
        seconds=min(seconds, 60 * minutes) if minutes else seconds,
        measured="here" if rate else "speed" if speed else "two cores",
    )


def memory_of(workers: list[Worker]) -> int | None:
    """What the smallest of them has for a run, in bytes; None when there is none."""
    # Workers of one machine's CPUs share its memory; a GPU is one's own.
    beside = Counter(w.machine for w in workers if w.device.startswith("CPU"))
    rooms = [w.memory_total / (beside[w.machine] if w.device.startswith("CPU") else 1) for w in workers]
    return round(min(rooms) * SHARE) if rooms else None


def speed_of(workers: list[Worker]) -> float | None:
    """Of the slowest, against two CPU cores; None when none has been measured yet."""
    return min((worker.speed for worker in workers if worker.speed), default=None)


def training_workers(session: Session) -> list[Worker]:
    """Those that live."""
    return liveness.alive(session, TRAINING)


def work(training: type[BaseModel], params: dict[str, Any]) -> dict[str, Any]:
    """What of a run's parameters its speed depends on, as far as runs are compared."""
    of_collection = marked(network_of(training), "of_collection")
    network = {name: value for name, value in (params.get("network") or {}).items() if name not in of_collection}
    return network | {name: params.get(name) for name in marked(training, "sets_speed")}


def measured_here(session: Session, family: Family, params: Any) -> float | None:
    """Pictures a second of the latest run with the same network."""
    query = select(TrainingRun).where(TrainingRun.family == family.name, TrainingRun.saved > 0)
    alike = work(type(params), params.model_dump(mode="json"))
    for run in session.scalars(query.order_by(TrainingRun.id.desc()).limit(LOOK_BACK)):
        if work(type(params), completed(run.params, type(params))) == alike:
            points = RunFolder(get_settings().data / "runs" / run.id).curves().get("images_per_second")
            if points:
                return sorted(value for _, value in points)[len(points) // 2]
    return None
