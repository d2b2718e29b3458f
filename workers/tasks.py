"""The one Celery task: a doorbell. The database says what there is to do, see `workers.loop`."""

from __future__ import annotations

from app.jobs.queue import RING, celery_app
from workers import loop


@celery_app.task(name=RING, ignore_result=True)
def answer(queue: str, job: str = "") -> None:
    """`job` is only for whoever watches the broker: the claim takes what is next in fair order."""
    loop.wake()
