"""How long a run trains, and when it measures itself and saves. Several processes of a run decide as one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.training import parallel

SHEETS = 10  # a short run measures about so often in all
OFTEN = 25  # times, before a long run measures half as often


class Decision(NamedTuple):
    """After `done` steps: is the run over, was it asked to stop, is a checkpoint long since."""

    done: int = -1
    is_over: bool = False
    is_stopped: bool = False
    is_long_since: bool = False


@dataclass
class Budget:
    """`steps`, `minutes` of training, and `patience`: measurements that may be no better than the best before.
    Whichever is spent first ends the run.
    """

    steps: int
    minutes: float | None = None
    patience: int | None = None
    checkpoint_seconds: float = 120.0
    best: tuple[int, float] | None = None  # step and held-out figure
    stop_requested: bool = False
    _stale: int = 0  # measurements since the best
    _seconds_before: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    _ended: float | None = None
    _saved_at: float = field(default_factory=time.monotonic)
    _decision: Decision = field(default_factory=Decision)
    _time_spent: float = 0.0  # share of the minutes, as agreed at the last step

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Training time so far, over all attempts."""
        return self._seconds_before + (self._ended or time.monotonic()) - self._started

    def stop_clock(self) -> None:
        """It has trained; what comes only measures."""
        self._ended = time.monotonic()

    def progress(self, step: int) -> float:
        """How much of the budget is spent, in [0, 1]; learning rates decay with it."""
        return min(1.0, max(step / self.steps, self._time_spent))

    # --- decisions --------------------------------------------------------------------------------------------------

    def steps_from(self, start: int) -> Iterator[int]:
        """The steps that are left, counted from 0; none for a state that was saved at the run's end."""
        step = start
        while step < self.steps and not (step and self.is_over(step)):
            yield step
            step += 1

    def is_over(self, done: int) -> bool:
        """Whether `done` steps are the whole run. All processes get the same answer, and the same each time."""
        return self.decide(done).is_over

    def checkpoint_is_due(self, done: int) -> bool:
        """At the end, when asked to stop, at a new best figure, and every so many seconds."""
        is_best = self.best is not None and self.best[0] == done
        return is_best or any(self.decide(done)[1:])

    def measure_is_due(self, done: int, every: int = 500) -> bool:
        """When to measure on held-out items and draw samples: ten times in a short run, ever less often in a long."""
        every = max(1, min(every, self.steps // SHEETS))
        while done > OFTEN * every:
            every *= 2
        return done % every == 0 or self.is_over(done)

    def report(self, done: int, figure: float) -> bool:
        """Tell a held-out figure, less is better; whether it is the best. A plateau ends the run.

        Every process calls it, and is told the same.
        """
        is_best = math.isfinite(figure) and (self.best is None or figure < self.best[1])
        if is_best:
            self.best, self._stale = (done, figure), 0
        else:
            self._stale += 1
        if self.patience:
            (flat,) = parallel.largest(self.is_flat)
            decision = self.decide(done)
            self._decision = decision._replace(is_over=decision.is_over or bool(flat))
        return is_best

    @property
    def is_flat(self) -> bool:
        return bool(self.patience and self._stale >= self.patience)

    def decide(self, done: int) -> Decision:
        """Agreed among the processes, once a step."""
        if self._decision.done != done:
            spent = self.seconds / (60 * self.minutes) if self.minutes else 0.0
            long_since = time.monotonic() - self._saved_at >= self.checkpoint_seconds
            flat, stop, due, self._time_spent = parallel.largest(self.is_flat, self.stop_requested, long_since, spent)
            over = done >= self.steps or bool(flat) or self._time_spent >= 1
            self._decision = Decision(done, over, bool(stop), bool(due))
        return self._decision

    def is_stopped(self, done: int) -> bool:
        """Whether the run is to end here: as agreed, or alone at once."""
        agreed = self._decision.done == done and self._decision.is_stopped
        return agreed or (self.stop_requested and parallel.world() == 1)

    # --- state ------------------------------------------------------------------------------------------------------

    def saved(self) -> None:
        self._saved_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "best": self.best, "worse": self._stale, "budget": self._given}

    def resume(self, facts: dict[str, Any]) -> None:
        """The clock starts; what an earlier attempt spent counts."""
        self._started = self._saved_at = time.monotonic()
        self._seconds_before = facts.get("seconds", 0.0)
        best = facts.get("best")
        self.best = (best[0], best[1]) if best else None
        # Who gives a run that has got flat another budget wants it to go on.
        self._stale = facts.get("worse", 0) if facts.get("budget") == self._given else 0

    @property
    def _given(self) -> list[float | None]:
        return [self.steps, self.minutes, self.patience]
