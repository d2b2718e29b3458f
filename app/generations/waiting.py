"""Jobs whose checkpoint is gone, or that no worker has: they end with a reason, since nothing will ever draw them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import now, session_scope
from app.generations.tables import Generation
from app.jobs.events import StatusEvent, publish
from app.settings import get_settings
from models.contract.message import Message

log = structlog.get_logger()


def fail_waiting(
    session: Session,
    model: str,
    why: Message,
    only: str | None = None,
    but: str | None = None,
    before: datetime | None = None,
) -> list[Generation]:
    """End queued jobs of a model: of the weights `only`, or of all `but` these; created `before`. Returns those."""
    ended = update(Generation).where(Generation.model == model, Generation.status == "queued")
    if only is not None:
        ended = ended.where(Generation.checkpoint_sha256 == only)
    if but is not None:
        ended = ended.where(Generation.checkpoint_sha256 != but)
    if before is not None:
        ended = ended.where(Generation.created_at < before)
    ids = session.scalars(
        ended.values(status="failed", error=why, notice=None, finished_at=now()).returning(Generation.id)
    )
    return list(session.scalars(select(Generation).where(Generation.id.in_(list(ids)))))


def end_waiting(name: str, card: dict[str, Any] | None) -> None:
    """After a model was replaced, or is gone (no card): jobs that wait for other weights of it end, and say so."""
    why = Message("The model {name} is gone", name=name)
    if card:
        why = Message("The model {name} has been replaced since this was requested", name=name)
    with session_scope() as session:
        ended = fail_waiting(session, name, why, but=card["sha256"] if card else None)
    for job in ended:
        publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))


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
                why=Message("No worker has had the model {model} for {hours} hours", model=model, hours=hours),
                only=sha256,
                before=long_ago,
            )
        for job in ended:
            publish(job.user_id, StatusEvent(generation=job.id, status=job.status, error=job.error))
        log.warning("waited_too_long", model=model, jobs=len(ended))
