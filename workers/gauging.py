"""How fast a training worker's device is, measured once while no run is on: the estimate of a first run rests on it."""

from __future__ import annotations

import os
import threading

import structlog
from sqlalchemy import select

from app.database import session_scope
from app.training_runs.tables import TrainingRun

LOOK_SECONDS = 5.0
speed: float | None = None  # against the two cores on which the families were measured
log = structlog.get_logger()


def gauge_when_idle(stop: threading.Event) -> None:
    """At first a studio starts: then nothing would be measured but that."""
    global speed
    while not stop.wait(LOOK_SECONDS):
        try:
            if not is_training():
                import torch

                from models.training import gauge
                from workers import model_cache

                torch.set_num_threads(os.cpu_count() or 1)  # as the process of a run does
                speed = round(gauge.speed(model_cache.device()), 3)
                return
        except Exception as error:  # an estimate does without
            log.warning("not_gauged", error=str(error))


def is_training() -> bool:
    with session_scope(writing=False) as session:
        return session.scalar(select(TrainingRun.id).where(TrainingRun.status == "running").limit(1)) is not None
