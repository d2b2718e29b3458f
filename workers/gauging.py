"""How fast a training worker's device is, measured now and then while nothing else is on: where no run has said it yet,
estimates rest on it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import chain, repeat

import psutil
import structlog
from sqlalchemy import select

from app.database import session_scope
from app.training_runs.tables import TrainingRun

LOOK_SECONDS = 5.0
PAUSES = (60.0, 300.0, 1800.0)  # seconds after each measurement; the last one again and again
KEPT = 5  # measurements, of which the best counts: what runs beside makes a device seem slower, never faster
IDLE = 25.0  # percent of all cores that others may use
PATIENCE = 12  # looks; a machine that is never idle is measured as it is
speed: float | None = None  # against the two cores on which the families were measured
log = structlog.get_logger()


def gauge_when_idle(stop: threading.Event) -> None:
    """Not at once: at first a studio starts, and nothing would be measured but that."""
    global speed
    speeds, pauses, looks = deque[float](maxlen=KEPT), chain(PAUSES, repeat(PAUSES[-1])), 0
    while not stop.wait(LOOK_SECONDS):
        try:
            looks += 1
            if is_training() or (is_busy() and (speeds or looks < PATIENCE)):
                continue
            speeds.append(measure())
            speed = round(max(speeds), 3)
        except Exception as error:  # an estimate does without
            log.warning("not_gauged", error=str(error))
        if stop.wait(next(pauses)):
            return


def measure() -> float:
    import torch

    from models.training import gauge
    from workers import model_cache

    torch.set_num_threads(os.cpu_count() or 1)  # as the process of a run does
    return gauge.speed(model_cache.device())


def is_training() -> bool:
    with session_scope(writing=False) as session:
        return session.scalar(select(TrainingRun.id).where(TrainingRun.status == "running").limit(1)) is not None


def is_busy() -> bool:
    return float(psutil.cpu_percent(interval=1.0)) > IDLE
