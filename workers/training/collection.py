"""What a run learns from: made at its first attempt, the very same at every later one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from app.datasets import fetching, prepare
from app.errors import Conflict, NotFound
from app.settings import get_settings
from app.training_runs import service
from app.training_runs.tables import TrainingRun
from models.contract.files import locked
from models.contract.preparation import Preparation
from models.contract.registry import families
from workers.lease import Lease
from workers.training.requests import check, report

LOOK_SECONDS = 0.25


def prepared(taken: Lease[TrainingRun]) -> Path:
    """The folder of the run's pictures: made at the first attempt, the very same at every later one.

    Raises DomainError, FetchError, Cancelled.
    """
    run, data = taken.row, get_settings().data
    if run.prepared and run.version and (data / run.prepared / "card.json").exists():
        return data / run.prepared
    report(taken, phase="preparing")
    place, version = starter(taken) if service.is_starter(run) else own(taken)
    if run.version and run.version != version:
        raise Conflict("The pictures that this run has seen are gone, and the dataset has changed since")
    report(taken, prepared=str(place.relative_to(data)), version=version)
    return place


def starter(taken: Lease[TrainingRun]) -> tuple[Path, str]:
    """(folder, version) of a starter collection, which is fetched if it is not there."""
    card = fetching.pictures(taken.row.collection, every(LOOK_SECONDS, lambda: check(taken)))
    return fetching.home_of(taken.row.collection), card["version"]


def own(taken: Lease[TrainingRun]) -> tuple[Path, str]:
    """(folder, version) of a dataset as it is now."""
    run, data = taken.row, get_settings().data
    if run.dataset_id is None:
        raise NotFound("The dataset of this run is no longer there")
    snapshot = prepare.snapshot(run.dataset_id)
    wanted = families()[run.family].preparation.model_validate(run.preparation)
    place = data / "prepared" / f"{snapshot.version[:24]}-{run.size}-{digest_of(wanted)}"
    check_cancelled = every(LOOK_SECONDS, lambda: check(taken))
    with locked(place, fetching.BUILD_SECONDS, check_cancelled):
        if not (place / "card.json").exists():
            prepare.write(place, snapshot, run.size, wanted, check_cancelled)
        report(taken, prepared=str(place.relative_to(data)))  # from now on nobody else deletes it
    return place, snapshot.version


def digest_of(wanted: Preparation) -> str:
    """Of a preparation, in a few letters that a folder's name may hold."""
    return hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()[:12]


def every(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    """`act`, called at most so often."""
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            act()

    return maybe
