"""Typed events of jobs, over one capped Redis stream: hints that carry ids and small previews.

Workers and web processes publish; each web process reads the stream once for all who listen to it (see `following`).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import redis
import structlog
from pydantic import BaseModel

from app.breaker import Breaker
from app.settings import get_settings
from models.contract.message import Message

STREAM, KEEP = "danqing:events", 1000
log = structlog.get_logger()
_silence = Breaker(3.0)  # after a failure nothing is published: drawing must not wait for a Redis that stalls


class StatusEvent(BaseModel):
    """A job changed its status; `artworks` are ids."""

    type: Literal["status"] = "status"
    generation: str
    status: str
    artworks: list[str] = []
    error: Message | None = None
    queue_position: int | None = None


class ProgressEvent(BaseModel):
    """Steps done of all steps."""

    type: Literal["progress"] = "progress"
    generation: str
    step: int
    total: int


class PreviewEvent(BaseModel):
    """An unfinished work: a picture of it as a data: URI, or its words so far."""

    type: Literal["preview"] = "preview"
    generation: str
    index: int
    image: str | None = None
    text: str | None = None


Event = StatusEvent | ProgressEvent | PreviewEvent


@cache
def client() -> redis.Redis:
    return redis.Redis.from_url(
        get_settings().redis, socket_timeout=1.5, socket_connect_timeout=1, health_check_interval=15
    )


def publish(user: str, *events: Event) -> None:
    """Tell whoever listens to a user's jobs; a failure is only logged. Call after the commit."""
    if _silence.is_open:
        return
    try:
        with client().pipeline(transaction=False) as pipe:
            for event in events:
                # What a reader sorts by stands beside the event, so that it parses none.
                fields = {"user": user, "job": event.generation, "type": event.type, "event": event.model_dump_json()}
                if isinstance(event, StatusEvent):
                    fields["status"] = event.status
                pipe.xadd(STREAM, fields, maxlen=KEEP, approximate=True)  # type: ignore[arg-type]
            pipe.execute()
    except (redis.RedisError, OSError) as error:
        _silence.trip()
        log.warning("publish_failed", error=str(error))
