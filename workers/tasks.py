"""The one Celery task: a doorbell. The database says what there is to do."""

from __future__ import annotations

import structlog

from app.queue import RING, TRAINING, celery_app
from workers.celery_app import worker_name


@celery_app.task(name=RING, ignore_result=True)
def answer(queue: str, job: str = "") -> None:
    """`job` is only for the log: the claim takes what is next in fair order."""
    if queue == TRAINING:
        from workers.training.sitting import work_once
    else:
        from workers.generate import work_once  # torch is imported in the child process only

    structlog.contextvars.clear_contextvars()
    work_once(queue, worker_name())
