"""What the end of a process means for its run."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from app.training_runs import service
from app.training_runs.tables import TrainingRun
from models.contract.message import Message
from models.contract.run_folder import OUT_OF_MEMORY, describe
from workers.lease import Lease
from workers.training.process import Request
from workers.training.requests import report

STOPPED, IN_USE, USED_WRONGLY = 130, 75, 2  # exit codes of the process
KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))  # of this container, else of the machine
log = structlog.get_logger()


@dataclass(frozen=True)
class Result:
    """How a attempt ended: "succeeded", "failed", "again" (another attempt) or "released" (as it was asked)."""

    status: str
    reason: Message | None = None


@dataclass(frozen=True)
class End:
    """Of a process: its exit code, what it said last, what had been asked of it, processes killed for memory since."""

    code: int
    said: dict[str, Any]
    request: Request | None
    kills: int

    @property
    def phase(self) -> str:
        return str(self.said.get("phase", ""))

    @property
    def reason(self) -> Message | None:
        return Message.from_json(self.said["reason"]) if "reason" in self.said else None


def result_of(taken: Lease[TrainingRun], end: End) -> Result:
    """By the first of these that holds."""
    model = service.folder(taken.job).model / "card.json"
    if end.code == 0:
        return Result("succeeded")
    # It went as it was asked to. One that failed to save for a pause has failed.
    if end.request == "leave" or (end.request == "save" and end.phase != "failed"):
        return Result("released")
    # Somebody else has asked it, by a signal.
    if end.phase == "stopped" or end.code == STOPPED:
        return Result("released")
    # What it has trained is good, whatever befell it as it measured that.
    if end.phase == "evaluating" and model.is_file():
        skipped = Message("The measurement was skipped.")
        describe(model, {"not_measured": skipped if end.request == "skip" else ended(end.code, taken)})
        return Result("succeeded")
    if end.code == IN_USE:
        return Result("again", Message("An earlier process of this run still holds its folder and does not exit."))
    # A GPU's memory tells the process; for lack of any other the kernel kills it, and it says nothing.
    if end.phase == OUT_OF_MEMORY or (end.kills > 0 and end.phase != "failed"):
        return smaller(taken)
    # It knows itself that trying again is of no use.
    if end.phase == "failed" or end.code == USED_WRONGLY:
        return Result("failed", end.reason or last_line(taken))
    return Result("again", ended(end.code, taken))


def ended(code: int, taken: Lease[TrainingRun]) -> Message:
    if code < 0:
        return Message("The training process was ended by {signal}.", signal=signal.Signals(-code).name)
    return Message("The training process ended with exit code {code}: {line}", code=code, line=last_line(taken))


def smaller(taken: Lease[TrainingRun]) -> Result:
    """The kernel has killed the process for its memory: the next attempt works on a batch in smaller pieces."""
    pieces = 2 * max(taken.row.pieces, int(service.folder(taken.job).progress().get("pieces", 1)))
    batch = taken.row.params.get("batch_size", 1)
    if pieces > 2 * batch:
        return Result("failed", Message("There is not enough memory, not even for one picture at a time."))
    report(taken, pieces=min(pieces, 2 * batch))
    log.warning("training_out_of_memory", run=taken.job, pieces=pieces)
    return Result("released")


def oom_kills() -> int:
    """Processes that the kernel has killed for lack of memory; 0 where nothing counts them."""
    counted = next((path for path in KILLS if path.is_file()), None)
    lines = counted.read_text("ascii").splitlines() if counted else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def last_line(taken: Lease[TrainingRun]) -> Message:
    lines = service.folder(taken.job).tail().strip().splitlines()
    return Message(lines[-1][:500] if lines else "The training process ended without a word.")
