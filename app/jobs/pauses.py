"""Queues that an admin has paused: what waits in them stays, what runs goes on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.database import Base, now


class QueuePause(Base):
    __tablename__ = "queue_pauses"

    queue: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(default=now)


def paused(session: Session) -> list[str]:
    return list(session.scalars(select(QueuePause.queue).order_by(QueuePause.queue)))


def is_paused(session: Session, queue: str) -> bool:
    return session.get(QueuePause, queue) is not None


def pause(session: Session, queue: str) -> None:
    if not is_paused(session, queue):
        session.add(QueuePause(queue=queue))


def go_on(session: Session, queue: str) -> None:
    session.execute(delete(QueuePause).where(QueuePause.queue == queue))
