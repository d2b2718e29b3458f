"""What a run would take, before it is launched: memory by the family's measured formula, time by the latest run like
it, or by the speed of the machine, as other runs say it or as it was gauged.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from statistics import median
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.checkpoints import service as checkpoints
from app.errors import Invalid, NotFound
from app.machines import liveness
from app.machines.tables import Worker
from app.settings import get_settings
from app.training_runs.schemas import Estimate
from app.training_runs.tables import TRAINING, TrainingRun
from models.contract.family import Family
from models.contract.fine_tuning import marked, network_of
from models.contract.recipe import completed
from models.contract.registry import families
from models.contract.run_folder import RunFolder

SHORTEST = 20.0  # seconds of training: of less, most is the start
SHARE = 0.85  # of a worker's memory that a run may take
LOOK_BACK, ENOUGH = 20, 5  # runs that are looked at, and that say how fast this machine is


def estimate(session: Session, family: Family, params: BaseModel, steps: int, minutes: float | None) -> Estimate:
    """Memory, held to by working on a batch in pieces, and time. Raises Invalid where not even one picture fits."""
    cost = family.training_cost(params, checkpoints.card_of)
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
    rate = measured_here(session, family, params, workers)
    by_runs = None if rate else speed_of_runs(session, workers)
    speed = None if rate else by_runs or speed_of(workers)
    seconds = steps * batch / (rate or cost.items_per_second * (speed or 1))
    return Estimate(
        memory_bytes=cost.fixed_bytes + cost.item_bytes * -(-batch // pieces),
        pieces=pieces,
        seconds=min(seconds, 60 * minutes) if minutes else seconds,
        measured="here" if rate else "runs" if by_runs else "speed" if speed else "two cores",
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


def measured_here(session: Session, family: Family, params: Any, workers: list[Worker]) -> float | None:
    """Pictures a second of the latest run with the same network."""
    alike = work(type(params), params.model_dump(mode="json"))
    for run in latest_runs(session):
        same = run.family == family.name and work(type(params), completed(run.params, type(params))) == alike
        if same and (rate := rate_of(run, workers)):
            return rate
    return None


def speed_of_runs(session: Session, workers: list[Worker]) -> float | None:
    """Of this machine against two CPU cores, as the latest runs of whatever families say."""
    found: list[float] = []
    for run in latest_runs(session):
        enough = run.seconds < SHORTEST or len(found) == ENOUGH
        if not enough and (rate := rate_of(run, workers)) and (expected := expected_of(run)):
            found.append(rate / expected)
    return median(found) if found else None


def latest_runs(session: Session) -> list[TrainingRun]:
    query = select(TrainingRun).where(TrainingRun.saved > 0).order_by(TrainingRun.id.desc())
    return list(session.scalars(query.limit(LOOK_BACK)))


def rate_of(run: TrainingRun, workers: list[Worker]) -> float | None:
    """Pictures a second of a run; None where it says nothing, or ran on another kind of device than there is now."""
    rate, device = measured(run.id, run.saved)
    devices = {"cpu" if worker.device.startswith("CPU") else "cuda" for worker in workers}
    return rate if not device or not devices or device in devices else None


@lru_cache(maxsize=256)
def measured(run_id: str, saved: int) -> tuple[float | None, str | None]:
    """(pictures a second, device) as its folder says, read once for each checkpoint."""
    folder = RunFolder(get_settings().data / "runs" / run_id)
    points = folder.curves().get("images_per_second")
    return (median(value for _, value in points) if points else None), folder.progress().get("device")


def expected_of(run: TrainingRun) -> float | None:
    """Pictures a second of the run on two CPU cores."""
    family = families().get(run.family)
    if family is None or family.training is None or family.cost is None:
        return None
    try:
        params = family.training.model_validate(completed(run.params, family.training))
        return family.training_cost(params, checkpoints.card_of).items_per_second
    except (ValueError, NotFound):  # a run of a version that had other parameters, or upon what is gone
        return None
