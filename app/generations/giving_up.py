"""Jobs that wait for a model that nobody has end at last."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from app.database import now, session_scope
from app.generations.tables import Generation
from app.generations.waiting import fail_waiting
from app.jobs.events import StatusEvent, publish
from app.jobs.sweeper import log
from app.settings import get_settings


def give_up_waiting() -> None:
    """A job whose model no worker has waits for one that does, but not for ever: every job ends."""
    hours = get_settings().model_wait_hours
    long_ago = now() - timedelta(hours=hours)
    with session_scope(writing=False) as session:
        query = select(Generation.model, Generation.checkpoint_sha256).distinct()
        waits = (Generation.status == "queued", Generation.created_at < long_ago, Generation.notice.is_not(None))
        found = session.execute(query.where(*waits)).all()
    for model, sha256 in found:
        with session_scope() as session:
            ended = fail_waiting(
                session,
                model,
                why=f"No worker has had the model {model} for {hours} hours",
                only=sha256,
                before=long_ago,
            )
        for job in ended:
            publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))
        log.warning("waited_too_long", model=model, jobs=len(ended))
