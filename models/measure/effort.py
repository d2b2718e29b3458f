"""How much is measured: as many pictures as the time allows, and no figure from a few."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.contract.message import Message
from models.data.pictures import Collection, Indices
from models.data.prepared import Prepared

FEWEST = 16  # pictures; a figure of fewer says more about them than about the model
PROBE = 8  # pictures by which one sees how long they take
SHARE, SHORTEST = 0.25, 60.0  # of the time of the training; seconds that a measurement may take in any case
TOO_FEW = Message("There are too few pictures to compare with: a figure would say nothing.")


@dataclass(frozen=True)
class Effort:
    """`real` pictures are there to compare with, and about `seconds` may be spent."""

    real: int
    seconds: float = math.inf

    @property
    def is_worth_it(self) -> bool:
        return self.real >= FEWEST

    def part(self, share: float) -> Effort:
        return replace(self, seconds=share * self.seconds)

    def most(self, wanted: int, *works: Callable[[int], object]) -> int:
        """For how many pictures, of `wanted`, all of the works can be done in the time; at least FEWEST.

        `work(n)` does for n pictures what will be done for each. It is timed once it has begun.
        """
        if math.isinf(self.seconds) or wanted <= FEWEST:
            return wanted
        a_picture = 0.0
        for work in works:
            work(1)
            began = time.perf_counter()
            work(PROBE)
            a_picture += (time.perf_counter() - began) / PROBE
        return max(FEWEST, min(wanted, int(self.seconds / max(a_picture, 1e-9))))


def effort_for(data: Prepared, seconds: float = math.inf) -> Effort:
    """Compared is with held-out works, or where those are too few with those of the training."""
    return Effort(max(data.count(split) for split in ["train", *data.held_out[:1]]), seconds)


def held_out(data: Collection) -> Indices:
    """Of the split that is held out first, if it has enough to compare with; else none."""
    found = data.indices(*data.held_out[:1], recoloured=False) if data.held_out else np.zeros(0, dtype=np.int64)
    return found if len(found) >= FEWEST else found[:0]


def seconds_after(training: float) -> float:
    """That may be spent on a run which has trained for so many seconds."""
    return max(SHORTEST, SHARE * training)
