"""What every family's `train(params, data, run)` is given: a folder, a budget, a log, and exact resume.

A step draws all of its randomness from (seed, step), so that a run which is resumed from step k goes on bit for bit as
one that was never interrupted. Knows nothing of networks, of the queue or of the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import ZOO, not_finite
from models.contract.message import MessageError
from models.contract.run_folder import RunFolder
from models.training import parallel, state
from models.training.budget import Budget
from models.training.log import Log

BEAT_SECONDS = 1.0
CPU = torch.device("cpu")


class Stopped(Exception):
    """The run was asked to stop; its state is saved."""


class Diverged(MessageError):
    """The loss is no number any more. Nothing of it was saved."""


class Run:
    """One training run in `path`: `metrics.jsonl`, `samples/`, `checkpoints/step-N/`, and `model/` at the end.

    `rate` is a factor of every learning rate and `pieces` the number of parts that a batch is worked on in; both are
    changed when a run is rolled back, and kept with its state. `published` is where it looks first for the checkpoints
    that it builds on.
    """

    def __init__(
        self,
        path: Path,
        steps: int,
        *,
        seed: int = 0,
        minutes: float | None = None,
        patience: int | None = None,
        published: Path = ZOO,
        device: torch.device = CPU,
        checkpoint_seconds: float = 120.0,
        pieces: int = 1,
        echo: bool = True,
    ) -> None:
        self.path, self.folder = path, RunFolder(path)
        for place in (self.folder.samples, self.folder.checkpoints):
            place.mkdir(parents=True, exist_ok=True)
        self.budget = Budget(steps, minutes, patience, checkpoint_seconds)
        self.log = Log(self.folder, self.budget, device, echo)
        self.seed, self.published, self.device = seed, published, device
        self.rate, self.pieces = 1.0, pieces
        self.best_figures: dict[str, float] = {}  # all held-out figures of the best step
        self.has_begun = False  # its state was read: from then on there is something to save
        self.is_done = False  # all is saved; what comes may be left at once
        self._done = self._saved = 0
        self._beaten_at = 0.0

    @property
    def is_first(self) -> bool:
        """Of several processes that train as one, the one that writes."""
        return parallel.rank() == 0

    def progress(self, step: int) -> float:
        """How much of the budget is spent, in [0, 1]."""
        return self.budget.progress(step)

    # --- ending -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End at the next step, after a checkpoint. Raises Stopped where there is nothing to save."""
        self.budget.stop_requested = True
        if not self.has_begun:
            raise Stopped("stopped before the first step")
        if self.is_done:
            raise Stopped("stopped after the last step")

    def finish(self) -> None:
        """The last state is saved; a request to stop is heard at once from now on. Raises Stopped for one before."""
        self.is_done = True
        if self.budget.stop_requested:
            raise Stopped("stopped after the last step")

    # --- what it says of itself -------------------------------------------------------------------------------------

    def report_metric(self, done: int, figure: float) -> None:
        """Tell the held-out figure, less is better: the best state is kept, and a plateau ends the run.

        Every process calls it, and is told the same.
        """
        if self.budget.report(done, figure):
            self.best_figures = self.log.held_out()

    def beat(self, phase: str, **facts: Any) -> None:
        """Say where the run is, for whoever watches its folder; once the state is read, also how far."""
        self._beaten_at = time.monotonic()
        if self.has_begun:
            facts = {
                "step": self._done,
                "steps": self.budget.steps,
                "progress": round(self.progress(self._done), 5),
                "seconds": round(self.budget.seconds, 1),
                "saved": self._saved,
                "pieces": self.pieces,
                "device": self.device.type,
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
        with self.log.spend("saving"):
            wrong = not_finite(tensors)  # a finite loss may have an infinite gradient
            if wrong:
                raise Diverged("{what} at step {step} is not finite", what=wrong, step=done)
            if self.is_first:
                facts = {
                    **self.budget.state(),
                    "seed": self.seed,
                    "rate": self.rate,
                    "pieces": self.pieces,
                    "best_figures": self.best_figures,
                    "figures": self.log.held_out(),
                }
                state.write(self.folder.checkpoints, done, tensors, facts)
                state.prune(self.folder.checkpoints, self.budget.best[0] if self.budget.best else None)
        self._saved = done
        self.budget.saved()
        if self.budget.is_stopped(done):
            self.beat("stopped")
            raise Stopped(f"stopped at step {done}")

    def restore(self) -> tuple[int, dict[str, Tensor]]:
        """(step, tensors) of the newest checkpoint whose hash holds; (0, {}) for a new run."""
        found = state.newest(self.folder.checkpoints)
        parallel.agree_on(found[0]["step"] if found else 0)
        facts, tensors = found or ({"step": 0}, {})
        self.budget.resume(facts)
        self.has_begun = True
        if found:
            self.log.say(f"goes on from step {facts['step']}")
        self._saved = self._done = facts["step"]
        self.rate = min(self.rate, facts.get("rate", 1.0))
        self.pieces = max(self.pieces, facts.get("pieces", 1))
        self.best_figures = facts.get("best_figures", {})
        self.log.last |= facts.get("figures", {})
        self.log.start(facts["step"])
        return facts["step"], tensors

    def result(self, done: int, ema: nn.Module) -> tuple[int, dict[str, float]]:
        """(step, held-out figures) of what the run has to show: its end, or with `patience` its best state, which `ema`
        then gets.
        """
        best = self.budget.best
        if self.budget.patience and best and best[0] != done:
            found = state.read(state.folder_of(self.folder.checkpoints, best[0]))
            if found:
                state.unpack(found[1], ema=ema)
                return best[0], self.best_figures
        return done, self.log.held_out()
