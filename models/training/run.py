"""What every family's `train(params, data, run)` shares: a run's folder, its budget, its log and exact resume.

A step draws all of its randomness from (seed, step), so that a run which is resumed from step k goes on bit for bit as
one that was never interrupted. Knows nothing of networks, of the queue or of the database.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import ZOO, not_finite
from models.contract.message import MessageError
from models.contract.run_folder import RunFolder
from models.training import parallel, state

LOGS, SHEETS = 200, 10  # a short run logs and measures about so often in all
OFTEN = 25  # times, before a long run measures half as often
LOG_SECONDS = 10.0
BEAT_SECONDS = 1.0


class Stopped(Exception):
    """The run was asked to stop; its state is saved."""


class Diverged(MessageError):
    """The loss is no number any more. Nothing of it was saved."""


@dataclass
class Run:
    """One training run in `path`: `metrics.jsonl`, `samples/`, `checkpoints/step-N/`, and `model/` at the end.

    It ends after `steps`, after `minutes` of training, or when the held-out figure has not become better over
    `patience` measurements, whichever comes first. `rate` is a factor of every learning rate and `pieces` the number
    of parts that a batch is worked on in; both are changed when a run is rolled back, and kept with its state.
    """

    path: Path
    steps: int
    seed: int = 0
    minutes: float | None = None
    patience: int | None = None
    published: Path = ZOO  # where a run looks first for the checkpoints that it builds on
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_seconds: float = 120.0
    rate: float = 1.0
    pieces: int = 1
    echo: bool = True
    last: dict[str, float] = field(default_factory=dict)  # newest value of every metric
    best: tuple[int, float] | None = None  # step and held-out figure
    best_figures: dict[str, float] = field(default_factory=dict)  # all held-out figures of that step
    is_done: bool = False  # all is saved; what comes may be left at once
    _stale: int = 0  # measurements since the best
    _seconds_before: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    _ended: float | None = None
    _spent: dict[str, float] = field(default_factory=dict)  # seconds by kind, since the last log
    _logged: tuple[int, float] = (0, 0.0)
    _stop: bool = False
    _restored: bool = False
    _done: int = 0
    _saved: int = 0
    _saved_at: float = field(default_factory=time.monotonic)
    _beaten_at: float = 0.0
    _decided: tuple[int, bool, bool, bool] = (-1, False, False, False)
    _time_spent: float = 0.0  # share of the minutes, as agreed at the last step

    def __post_init__(self) -> None:
        self.folder = RunFolder(self.path)
        for place in (self.folder.samples, self.folder.checkpoints):
            place.mkdir(parents=True, exist_ok=True)

    @property
    def is_first(self) -> bool:
        """Of several processes that train as one, the one that writes."""
        return parallel.rank() == 0

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT end the run at the next step, after a checkpoint; at once where nothing is to be saved."""

        def ask(number: int, frame: FrameType | None) -> None:
            self._stop = True
            if not self.has_begun:
                raise Stopped("stopped before the first step")
            if self.is_done:
                raise Stopped("stopped after the last step")

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)

    def stop_with(self, parent: int) -> None:
        """The same when the process that this one works for has ended; under torchrun also when torchrun has."""
        starter = os.getppid()
        direct = "TORCHELASTIC_RUN_ID" not in os.environ

        def watch() -> None:
            while (starter == parent if direct else exists(parent)) and os.getppid() == starter:
                time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True, name="parent").start()

    def stop_clock(self) -> None:
        """It has trained; what comes only measures."""
        self._ended = time.monotonic()

    def finish(self) -> None:
        """The last state is saved; a request to stop is heard at once from now on. Raises Stopped for one before."""
        self.is_done = True
        if self._stop:
            raise Stopped("stopped after the last step")

    @property
    def has_begun(self) -> bool:
        """Whether the state was read: from then on there is something to save."""
        return self._restored

    # --- budget -----------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Training time so far, over all attempts."""
        return self._seconds_before + (self._ended or time.monotonic()) - self._started

    def progress(self, step: int) -> float:
        """How much of the budget is spent, in [0, 1]; learning rates decay with it."""
        return min(1.0, max(step / self.steps, self._time_spent))

    def steps_from(self, start: int) -> Iterator[int]:
        """The steps that are left, counted from 0; none for a state that was saved at the run's end."""
        self._logged = (start, time.monotonic())
        step = start
        while step < self.steps and not (step and self.is_over(step)):
            yield step
            step += 1

    def is_over(self, done: int) -> bool:
        """Whether `done` steps are the whole run. All processes get the same answer, and the same each time."""
        return self._decide(done)[0]

    def checkpoint_is_due(self, done: int) -> bool:
        """At the end, when asked to stop, at a new best figure, and every so many seconds."""
        over, stop, due = self._decide(done)
        best = self.best is not None and self.best[0] == done
        return over or stop or best or due

    def _decide(self, done: int) -> tuple[bool, bool, bool]:
        """(over, asked to stop, long since a checkpoint), agreed among the processes once a step."""
        if self._decided[0] != done:
            spent = self.seconds / (60 * self.minutes) if self.minutes else 0.0
            long_since = time.monotonic() - self._saved_at >= self.checkpoint_seconds
            flat, stop, due, self._time_spent = parallel.largest(self._is_flat, self._stop, long_since, spent)
            over = done >= self.steps or bool(flat) or self._time_spent >= 1
            self._decided = (done, over, bool(stop), bool(due))
        return self._decided[1:]

    @property
    def _budget(self) -> list[float | None]:
        return [self.steps, self.minutes, self.patience]

    @property
    def _is_flat(self) -> bool:
        return bool(self.patience and self._stale >= self.patience)

    # --- log --------------------------------------------------------------------------------------------------------

    def log_is_due(self, done: int, every: int = 50) -> bool:
        """Every so many steps, oftener in a short run, and after so many seconds where steps are slow."""
        if done % max(1, min(every, self.steps // LOGS)) == 0 or done >= self.steps:
            return True
        return time.monotonic() - self._logged[1] >= LOG_SECONDS

    def measure_is_due(self, done: int, every: int = 500) -> bool:
        """When to measure on held-out items and draw samples: ten times in a short run, ever less often in a long."""
        every = max(1, min(every, self.steps // SHEETS))
        while done > OFTEN * every:
            every *= 2
        return done % every == 0 or self.is_over(done)

    @contextlib.contextmanager
    def spend(self, kind: str) -> Iterator[None]:
        """Time that is not training proper: "data", "saving", "measuring"; the log says its share."""
        began = time.monotonic()
        yield
        self._spent[kind] = self._spent.get(kind, 0.0) + time.monotonic() - began

    def log(self, done: int, **metrics: float) -> None:
        """Append to the curves. Numbers that are not finite are left out."""
        self.last |= metrics
        if not self.is_first:
            return
        finite = {name: float(f"{value:.5g}") for name, value in metrics.items() if math.isfinite(value)}
        line = {"step": done, "seconds": round(self.seconds, 1), **finite}
        self.folder.append(line)
        if self.echo:
            print(" ".join(f"{name} {value}" for name, value in line.items()), file=sys.stderr, flush=True)

    def say(self, words: str) -> None:
        """To whoever reads the log."""
        if self.is_first and self.echo:
            print(words, file=sys.stderr, flush=True)

    def log_step(self, done: int, batch: int, **metrics: float) -> None:
        """Log a step's own metrics, with what is the same for every family: throughput, memory, shares of time."""
        since, at = self._logged
        now = time.monotonic()
        elapsed = max(now - at, 1e-9)
        steps_seconds = max(elapsed - self._spent.get("measuring", 0.0) - self._spent.get("saving", 0.0), 1e-9)
        self.log(
            done,
            **metrics,
            images_per_second=(done - since) * batch / steps_seconds,
            memory_mib=memory_mib(self.device),
            data_share=self._spent.get("data", 0.0) / elapsed,
            saving_share=self._spent.get("saving", 0.0) / elapsed,
        )
        self._logged, self._spent = (done, now), {}

    def report_metric(self, done: int, figure: float) -> None:
        """Tell the held-out figure, less is better: the best state is kept, and a plateau ends the run.

        Every process calls it, and is told the same.
        """
        if math.isfinite(figure) and (self.best is None or figure < self.best[1]):
            self.best, self._stale = (done, figure), 0
            self.best_figures = held_out(self.last)
        else:
            self._stale += 1
        if self.patience:
            (flat,) = parallel.largest(self._is_flat)
            over, stop, due = self._decide(done)
            self._decided = (done, over or bool(flat), stop, due)

    def beat(self, phase: str, **facts: Any) -> None:
        """Say where the run is, for whoever watches its folder; once the state is read, also how far."""
        self._beaten_at = time.monotonic()
        if self.has_begun:
            facts = {
                "step": self._done,
                "steps": self.steps,
                "progress": round(self.progress(self._done), 5),
                "seconds": round(self.seconds, 1),
                "saved": self._saved,
                "pieces": self.pieces,
                **facts,
            }
        if self.is_first:
            self.folder.say(phase=phase, **facts)

    def is_at_work(self, phase: str, **facts: Any) -> None:
        """Beat now and then while something takes long. Facts that change say that it goes on: silence is ended."""
        if time.monotonic() - self._beaten_at >= BEAT_SECONDS:
            self.beat(phase, **facts)

    def watch(self, done: int, loss: Tensor) -> None:
        """Call with every loss, before it reaches the weights. Raises Diverged."""
        self._done = done
        if not torch.isfinite(loss):
            raise Diverged("the loss of step {step} is {loss}", step=done, loss=loss.item())
        self.is_at_work("training")

    # --- one step, shared out ---------------------------------------------------------------------------------------

    def shares(self, batch: int) -> Iterator[tuple[slice, float]]:
        """(slice, weight) of what this process does of a batch, piece by piece; weights of all processes sum to one."""
        for piece in parallel.shares(batch, min(self.pieces, batch)):
            yield piece, (piece.stop - piece.start) / batch

    def add_up(self, network: nn.Module, *others: Tensor) -> None:
        """After the backward passes: gradients and sums over all processes."""
        parallel.add_up(network.parameters(), *others)

    @torch.no_grad()
    def whole_mean(self, batch: int, numbers: int, of: Callable[[slice], Tensor]) -> Tensor | None:
        """(numbers,) means over a batch of the (n, numbers) that `of` says of its rows, where it is worked on in pieces
        or by several; None where one piece is the whole.
        """
        if self.pieces == 1 and parallel.world() == 1:
            return None
        sums = torch.zeros(numbers, device=self.device)
        for rows, weight in self.shares(batch):
            sums += weight * of(rows).mean(0)
        parallel.add_up((), sums)
        return sums

    # --- state ------------------------------------------------------------------------------------------------------

    def save(self, done: int, tensors: dict[str, Tensor]) -> None:
        """Write a checkpoint: it appears whole, with its hash, or not at all.

        Raises Diverged where a number of it is not finite, Stopped when asked to stop, NotSaved when the disk is full
        or fails.
        """
        with self.spend("saving"):
            wrong = not_finite(tensors)  # a finite loss may have an infinite gradient
        if wrong:
            raise Diverged("{what} at step {step} is not finite", what=wrong, step=done)
        if self.is_first:
            with self.spend("saving"):
                facts = {
                    "seconds": self.seconds,
                    "seed": self.seed,
                    "rate": self.rate,
                    "pieces": self.pieces,
                    "best": self.best,
                    "best_figures": self.best_figures,
                    "worse": self._stale,
                    "budget": self._budget,
                    "figures": held_out(self.last),
                }
                state.write(self.folder.checkpoints, done, tensors, facts)
                state.prune(self.folder.checkpoints, self.best[0] if self.best else None)
        self._saved, self._saved_at = done, time.monotonic()
        agreed = self._decided[0] == done and self._decided[2]
        if agreed or (self._stop and parallel.world() == 1):
            self.beat("stopped")
            raise Stopped(f"stopped at step {done}")

    def restore(self) -> tuple[int, dict[str, Tensor]]:
        """(step, tensors) of the newest checkpoint whose hash holds; (0, {}) for a new run."""
        found = state.newest(self.folder.checkpoints)
        parallel.agree_on(found[0]["step"] if found else 0)
        self._started, self._saved_at = time.monotonic(), time.monotonic()
        self._restored = True
        if found is None:
            return 0, {}
        facts, tensors = found
        self.say(f"goes on from step {facts['step']}")
        self._seconds_before = facts["seconds"]
        self._saved = self._done = facts["step"]
        self.rate = min(self.rate, facts.get("rate", 1.0))
        self.pieces = max(self.pieces, facts.get("pieces", 1))
        best = facts.get("best")
        self.best, self.best_figures = (best[0], best[1]) if best else None, facts.get("best_figures", {})
        # Who gives a run that has got flat another budget wants it to go on.
        self._stale = facts.get("worse", 0) if facts.get("budget") == self._budget else 0
        self.last |= facts.get("figures", {})
        return facts["step"], tensors

    def result(self, done: int, ema: nn.Module) -> tuple[int, dict[str, float]]:
        """(step, held-out figures) of what the run has to show: its end, or with `patience` its best state, which `ema`
        then gets.
        """
        if self.patience and self.best and self.best[0] != done:
            found = state.read(state.folder_of(self.folder.checkpoints, self.best[0]))
            if found:
                state.unpack(found[1], ema=ema)
                return self.best[0], self.best_figures
        return done, held_out(self.last)


def memory_mib(device: torch.device) -> float:
    """Largest use of memory so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def held_out(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in metrics.items() if name.startswith("held_out")}


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
