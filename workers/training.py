"""Runs one training run: prepares its pictures, starts a process of its own, watches it, ends as it ends.

The process writes curves, samples and checkpoints into the run's folder; this side holds the lease, passes on wishes
(pause, cancel, a new budget) and knows what an end means. Imports no torch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import psutil
import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import session_scope
from app.datasets import fetching, prepare
from app.datasets.packages import FetchError
from app.errors import Conflict, DomainError, NotFound
from app.queue import ring
from app.settings import ROOT, get_settings
from app.supervisor import gpus
from app.sweeper import MAX_ATTEMPTS, doorbells
from app.training_runs import service
from app.training_runs.tables import TrainingRun
from models.base import Cancelled
from models.folders import locked, write_atomically
from models.training.folder import OUT_OF_MEMORY, describe
from models.training.recipe import Recipe
from workers import crash_points, lease, shutdown
from workers.lease import Heartbeat, Lease

LOOK_SECONDS = 0.25
# What the process gets to save its state and to end by itself; a worker that shuts down has 20 s in all.
CANCEL_SECONDS, SHUTDOWN_SECONDS, PAUSE_SECONDS = 0.8, 14.0, 120.0
SILENT_SECONDS = 3600.0  # how long a process may say nothing new: it speaks every second, but for its evaluation
STOPPED, IN_USE, USED_WRONGLY = 130, 75, 2  # exit codes of the process
KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))  # of this container, else of the machine
log = structlog.get_logger()


def work_once(queue: str, worker: str) -> bool:
    """Claim and run one training run, for as long as it takes; False when none waited."""
    with session_scope() as session:
        taken = claim(session, queue, worker)
    if taken is None:
        return False
    crash_points.reach("claimed")
    with Heartbeat([taken]):
        attempt(taken)
    if doorbells(queue) == 0 and not shutdown.begun.is_set():
        ring(queue)
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
    """One sitting. Whatever goes wrong ends, or puts back, the run with a reason."""
    run = taken.row
    bound = log.bind(run=run.id, request=run.request_id, attempt=taken.attempt)
    try:
        service.folder(run.id).path.mkdir(parents=True, exist_ok=True)
        collection = prepared(taken)
        crash_points.reach("prepared")
        outcome = sit(taken, collection)
        bound.info("training_sitting_ended", outcome=outcome.status, reason=outcome.reason)
    except Cancelled:
        outcome = Outcome("let go")
    except (DomainError, FetchError) as error:
        outcome = Outcome("failed", str(error))
    except OSError as error:
        bound.exception("training_failed")
        outcome = Outcome("failed", f"The run could not start: {error}")
    except Exception:
        bound.exception("training_failed")
        outcome = Outcome("again", "The training worker failed; its log has the details under this run's id.")
    settle(taken, outcome)


@dataclass(frozen=True)
class Outcome:
    """How a sitting ended: "succeeded", "failed", "again" (another attempt) or "let go" (as was wished)."""

    status: str
    reason: str | None = None


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


# --- wishes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wishes:
    """What the row asks of a running process."""

    cancel: bool
    pause: bool
    new_budget: bool


def look(session: Session, taken: Lease[TrainingRun], lock: bool = False) -> Wishes | None:
    """None when the lease is no longer ours. `lock`: no wish comes in between before the transaction ends."""
    query = select(
        TrainingRun.cancel_requested,
        TrainingRun.pause_requested,
        TrainingRun.steps,
        TrainingRun.minutes,
        TrainingRun.patience,
    ).where(lease.held(taken))
    row = session.execute(query.with_for_update() if lock else query).first()
    if row is None:
        return None
    cancel, pause, *budget = row
    return Wishes(cancel, pause, budget != [taken.row.steps, taken.row.minutes, taken.row.patience])


def check(taken: Lease[TrainingRun]) -> None:
    """While nothing can be saved yet. Raises Cancelled when the run is to stop or the lease is gone."""
    with session_scope(writing=False) as session:
        wishes = look(session, taken)
    if wishes is None or wishes.cancel or wishes.pause or shutdown.begun.is_set():
        raise Cancelled


# --- pictures -------------------------------------------------------------------------------------------------------


def prepared(taken: Lease[TrainingRun]) -> Path:
    """The folder of the run's pictures: made at the first sitting, the very same at every later one.

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
    place = data / "prepared" / f"{snapshot.version[:24]}-{run.size}-{run.fit}{'-mirrored' if run.mirror else ''}"
    fit = cast(prepare.Fit, run.fit)
    wanted = every(LOOK_SECONDS, lambda: check(taken))
    with locked(place, fetching.BUILD_SECONDS, wanted):
        if not (place / "card.json").exists():
            prepare.write(place, snapshot, run.size, fit, run.mirror, wanted)
        report(taken, prepared=str(place.relative_to(data)))  # from now on nobody else deletes it
    return place, snapshot.version


def every(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    """`act`, called at most so often."""
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            act()

    return maybe


def report(taken: Lease[TrainingRun], **values: Any) -> None:
    with session_scope() as session:
        session.execute(update(TrainingRun).where(lease.held(taken)).values(**values))


# --- the process ----------------------------------------------------------------------------------------------------


def sit(taken: Lease[TrainingRun], collection: Path) -> Outcome:
    """Start the process, watch it until it ends, say what its end means."""
    kills = oom_kills()
    process = start(taken.row, collection)
    crash_points.reach("started")
    try:
        wish = watch(taken, process)
    finally:
        end_group(process)
    place = service.folder(taken.job)
    progress = place.progress()
    follow(taken, progress)
    phase, code = progress.get("phase"), process.returncode
    if code == 0:
        return Outcome("succeeded")
    if wish == "leave" or (wish == "save" and phase != "failed") or phase == "stopped" or code == STOPPED:
        return Outcome("let go")
    if phase == "evaluating" and (place.model / "card.json").is_file():  # what it has trained is good
        describe(place.model / "card.json", {"not_measured": ended(code, taken)})
        return Outcome("succeeded")
    if code == IN_USE:
        return Outcome("again", "An earlier process of this run holds its folder and does not end.")
    if phase == OUT_OF_MEMORY or (oom_kills() > kills and phase != "failed"):
        return smaller(taken)
    if phase == "failed" or code == USED_WRONGLY:
        return Outcome("failed", progress.get("reason") or last_line(taken))
    return Outcome("again", ended(code, taken))


def ended(code: int, taken: Lease[TrainingRun]) -> str:
    if code < 0:
        return f"The training process was ended by {signal.Signals(-code).name}."
    return f"The training process ended with exit code {code}: {last_line(taken)}"


def start(run: TrainingRun, collection: Path) -> subprocess.Popen[bytes]:
    """In a process group of its own; through torchrun where several are to train as one."""
    place, settings = service.folder(run.id), get_settings()
    recipe = Recipe(
        family=run.family,
        collection=str(collection),
        steps=run.steps,
        minutes=run.minutes,
        patience=run.patience,
        seed=run.seed,
        evaluate=run.evaluate,
        params=run.params,
        card={"title": run.name},
    )
    write_atomically(place.path / "recipe.json", recipe.model_dump_json(indent=1).encode())
    place.say(phase="starting")
    visible, processes = devices()
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [sys.executable, "-m", *(torchrun if processes > 1 else []), "models.training.process"]
    command += [str(place.path / "recipe.json"), str(place.path), "--checkpoints", str(settings.data / "checkpoints")]
    command += ["--pieces", str(run.pieces), "--parent", str(os.getpid())]
    # Threads that wait for others soon sleep: where two runs share cores, spinning would take turns with work. Sleeping
    # at once ("passive") costs a run that is alone a third of its speed.
    environment = {"GOMP_SPINCOUNT": "20000", **os.environ}
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    with place.log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True, env=environment
        )


def devices() -> tuple[str | None, int]:
    """(CUDA_VISIBLE_DEVICES, or None to leave it, and the number of processes that train a run together)."""
    settings = get_settings()
    if settings.device == "cpu":
        return "", settings.training_processes or 1
    if settings.device.startswith("cuda:"):
        return settings.device.removeprefix("cuda:"), 1
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = gpus() if visible is None else len([gpu for gpu in visible.split(",") if gpu.strip()])
    return None, settings.training_processes or max(1, found)


def watch(taken: Lease[TrainingRun], process: subprocess.Popen[bytes]) -> Literal["leave", "save"] | None:
    """Until the process has ended; whether that was wished: to leave by a user, or since the lease is lost; to save for
    a pause, a new budget or a shutdown. One that hangs is ended.
    """
    deadline: float | None = None
    heard = time.monotonic()
    place, progress = service.folder(taken.job), dict[str, Any]()
    wishes: Wishes | None = Wishes(False, False, False)
    while process.poll() is None:
        time.sleep(LOOK_SECONDS)
        try:
            if (said := place.progress()) != progress:
                progress, heard = said, time.monotonic()
                follow(taken, progress)
            with session_scope(writing=False) as session:
                wishes = look(session, taken)
        except Exception as error:  # the database is away: the process goes on, the next look tries again
            log.warning("training_look_failed", run=taken.job, error=str(error))
        if time.monotonic() - heard > SILENT_SECONDS:
            log.warning("training_silent", run=taken.job, seconds=SILENT_SECONDS)
            end_group(process)
        if (patience := patience_for(wishes)) is not None:
            if deadline is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            until = time.monotonic() + patience
            deadline = until if deadline is None else min(deadline, until)
            if time.monotonic() > deadline:
                end_group(process)
    if deadline is None:
        return None
    return "leave" if wishes is None or wishes.cancel else "save"


def patience_for(wishes: Wishes | None) -> float | None:
    """How long the process may take to save and to end; None when it is to go on."""
    if wishes is None or wishes.cancel:
        return CANCEL_SECONDS
    if shutdown.begun.is_set():
        return SHUTDOWN_SECONDS
    return PAUSE_SECONDS if wishes.pause or wishes.new_budget else None


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Nothing that the process has started lives on; torchrun gives each of its own a group of its own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def follow(taken: Lease[TrainingRun], progress: dict[str, Any]) -> None:
    """Bring the row up to what the process last said. A new checkpoint gives the run its attempts back."""
    values: dict[str, Any] = {"phase": str(progress.get("phase", ""))}
    if "saved" in progress:  # it has read its state, and counts from there
        values |= {key: progress[key] for key in ("step", "progress", "seconds", "saved", "pieces")}
        taken.step, taken.total = values["step"], taken.row.steps
        if values["saved"] > taken.row.saved:
            taken.row.saved = values["saved"]
            taken.attempt = values["attempt"] = 1
    report(taken, **values)


def smaller(taken: Lease[TrainingRun]) -> Outcome:
    """The kernel has killed the process for its memory: the next sitting works on a batch in smaller pieces."""
    pieces = 2 * max(taken.row.pieces, int(service.folder(taken.job).progress().get("pieces", 1)))
    batch = taken.row.params.get("batch_size", 1)
    if pieces > 2 * batch:
        return Outcome("failed", "There is not enough memory, not even for one picture at a time.")
    report(taken, pieces=min(pieces, 2 * batch))
    log.warning("training_out_of_memory", run=taken.job, pieces=pieces)
    return Outcome("let go")


def oom_kills() -> int:
    """Processes that the kernel has killed for lack of memory; 0 where nothing counts them."""
    counted = next((path for path in KILLS if path.is_file()), None)
    lines = counted.read_text("ascii").splitlines() if counted else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def last_line(taken: Lease[TrainingRun]) -> str:
    lines = service.folder(taken.job).tail().strip().splitlines()
    return lines[-1][:500] if lines else "The training process ended without a word."
