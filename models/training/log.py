"""What a run says as it goes: curves for a page, lines for a terminal, and the shares of its time."""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from models.contract.run_folder import RunFolder
from models.training import parallel
from models.training.budget import Budget

LOGS = 200  # a short run logs about so often in all
LOG_SECONDS = 10.0


@dataclass
class Log:
    """Appends to `metrics.jsonl` of the run's folder. Of several processes the first one writes."""

    folder: RunFolder
    budget: Budget
    device: torch.device
    echo: bool = True
    last: dict[str, float] = field(default_factory=dict)  # newest value of every metric
    _spent: dict[str, float] = field(default_factory=dict)  # seconds by kind, since the last log
    _logged: tuple[int, float] = field(default_factory=lambda: (0, time.monotonic()))

    def start(self, step: int) -> None:
        self._logged = (step, time.monotonic())

    def is_due(self, done: int, every: int = 50) -> bool:
        """Every so many steps, oftener in a short run, and after so many seconds where steps are slow."""
        steps = self.budget.steps
        if done % max(1, min(every, steps // LOGS)) == 0 or done >= steps:
            return True
        return time.monotonic() - self._logged[1] >= LOG_SECONDS

    @contextlib.contextmanager
    def spend(self, kind: str) -> Iterator[None]:
        """Time that is not training proper: "data", "saving", "measuring"; the log says its share."""
        began = time.monotonic()
        yield
        self._spent[kind] = self._spent.get(kind, 0.0) + time.monotonic() - began

    def write(self, done: int, **metrics: float) -> None:
        """Append to the curves. Numbers that are not finite are left out."""
        self.last |= metrics
        if parallel.rank() != 0:
            return
        finite = {name: float(f"{value:.5g}") for name, value in metrics.items() if math.isfinite(value)}
        line = {"step": done, "seconds": round(self.budget.seconds, 1), **finite}
        self.folder.append(line)
        self.say(" ".join(f"{name} {value}" for name, value in line.items()))

    def say(self, words: str) -> None:
        """To whoever reads the log."""
        if self.echo and parallel.rank() == 0:
            print(words, file=sys.stderr, flush=True)

    def step(self, done: int, batch: int, **metrics: float) -> None:
        """A step's own metrics, with what is the same for every family: throughput, memory, shares of time."""
        since, at = self._logged
        now = time.monotonic()
        elapsed = max(now - at, 1e-9)
        steps_seconds = max(elapsed - self._spent.get("measuring", 0.0) - self._spent.get("saving", 0.0), 1e-9)
        self.write(
            done,
            **metrics,
            images_per_second=(done - since) * batch / steps_seconds,
            memory_mib=memory_mib(self.device),
            data_share=self._spent.get("data", 0.0) / elapsed,
            saving_share=self._spent.get("saving", 0.0) / elapsed,
        )
        self._logged, self._spent = (done, now), {}

    def held_out(self) -> dict[str, float]:
        """The newest figures of held-out items."""
        return {name: float(f"{value:.4g}") for name, value in self.last.items() if name.startswith("held_out")}


def memory_mib(device: torch.device) -> float:
    """Largest use of memory so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
