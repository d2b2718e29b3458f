"""The process of a run: started, watched, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import psutil
import structlog

from app.database import session_scope
from app.settings import ROOT, get_settings
from app.terminal.supervisor import gpus
from app.training_runs import service
from app.training_runs.tables import TrainingRun
from models.contract.files import write_atomically
from models.contract.recipe import Recipe
from workers import shutdown
from workers.lease import Lease
from workers.training.requests import Requests, read, report

LOOK_SECONDS = 0.25
# What the process gets to save its state and to end by itself; a worker that shuts down has 20 s in all.
CANCEL_SECONDS, SHUTDOWN_SECONDS, PAUSE_SECONDS = 0.8, 14.0, 120.0
SILENT_SECONDS = 3600.0  # how long a process may say nothing new: it speaks every second, but for its evaluation
Request = Literal["leave", "save", "skip"]
log = structlog.get_logger()


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


def watch(taken: Lease[TrainingRun], process: subprocess.Popen[bytes]) -> Request | None:
    """Until the process has ended. What had been asked of it: to leave, by a user or since the lease is lost; to save,
    for a pause, a new budget or a shutdown; to skip its measurement. One that hangs is ended.
    """
    deadline: float | None = None
    heard = time.monotonic()
    place, progress = service.folder(taken.job), dict[str, Any]()
    requests: Requests | None = Requests(False, False, False)
    while process.poll() is None:
        time.sleep(LOOK_SECONDS)
        try:
            if (said := place.progress()) != progress:
                progress, heard = said, time.monotonic()
                follow(taken, progress)
            with session_scope(writing=False) as session:
                requests = read(session, taken)
        except Exception as error:  # the database is away: the process goes on, the next look tries again
            log.warning("training_look_failed", run=taken.job, error=str(error))
        if time.monotonic() - heard > SILENT_SECONDS:
            log.warning("training_silent", run=taken.job, seconds=SILENT_SECONDS)
            end_group(process)
        if requests and requests.skip and progress.get("phase") == "evaluating":
            end_group(process)  # what it has trained is whole
            return "skip"
        if (patience := patience_for(requests)) is not None:
            if deadline is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            until = time.monotonic() + patience
            deadline = until if deadline is None else min(deadline, until)
            if time.monotonic() > deadline:
                end_group(process)
    if deadline is None:
        return None
    return "leave" if requests is None or requests.cancel else "save"


def patience_for(requests: Requests | None) -> float | None:
    """How long the process may take to save and to end; None when it is to go on."""
    if requests is None or requests.cancel:
        return CANCEL_SECONDS
    if shutdown.begun.is_set():
        return SHUTDOWN_SECONDS
    return PAUSE_SECONDS if requests.pause or requests.new_budget else None


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
