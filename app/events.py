"""Typed events of jobs, over one capped Redis stream a user: hints that carry ids and small previews.

A reader that missed one refetches; a stream whose Redis is gone falls back to watching the row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from typing import Annotated, Any, Literal

import redis
import redis.asyncio
import structlog
from pydantic import BaseModel, Field, TypeAdapter

from app.settings import get_settings

KEEP, EXPIRE_SECONDS = 400, 3600
log = structlog.get_logger()


class StatusEvent(BaseModel):
    """A job changed its status; `artworks` are ids."""

    type: Literal["status"] = "status"
    generation: str
    status: str
    artworks: list[str] = []
    error: str | None = None
    queue_position: int | None = None


class ProgressEvent(BaseModel):
    """Steps done of all steps."""

    type: Literal["progress"] = "progress"
    generation: str
    step: int
    total: int


class PreviewEvent(BaseModel):
    """An unfinished picture, as a data: URI."""

    type: Literal["preview"] = "preview"
    generation: str
    index: int
    image: str


Event = Annotated[StatusEvent | ProgressEvent | PreviewEvent, Field(discriminator="type")]
_adapter: TypeAdapter[Event] = TypeAdapter(Event)


def key(user: str) -> str:
    return f"danqing:events:{user}"


@cache
def client() -> redis.Redis:
    return redis.Redis.from_url(
        get_settings().redis, socket_timeout=2, socket_connect_timeout=1, health_check_interval=15
    )


def publish(user: str, *events: Event) -> None:
    """Send events to a user's stream; a failure is only logged. Call after the commit."""
    try:
        with client().pipeline(transaction=False) as pipe:
            for event in events:
                pipe.xadd(key(user), {"event": event.model_dump_json()}, maxlen=KEEP, approximate=True)
            pipe.expire(key(user), EXPIRE_SECONDS)
            pipe.execute()
    except (redis.RedisError, OSError) as error:
        log.warning("publish_failed", error=str(error))


def last_id(user: str) -> str:
    """The id of the newest event, to read from there on. "0" when there is none or Redis is away."""
    try:
        newest: Any = client().xrevrange(key(user), count=1)
        return newest[0][0].decode() if newest else "0"
    except (redis.RedisError, OSError):
        return "0"


async def subscribe(user: str, after: str, block_seconds: float) -> AsyncIterator[tuple[str, Event] | None]:
    """(id, event) from `after` on; None whenever `block_seconds` passed without one, and at once if Redis is away."""
    connection = redis.asyncio.Redis.from_url(
        get_settings().redis, socket_connect_timeout=1, socket_timeout=block_seconds + 5
    )
    try:
        while True:
            answer: Any = await connection.xread({key(user): after}, count=50, block=int(block_seconds * 1000))
            entries = answer_entries(answer)
            if not entries:
                yield None
            for identifier, fields in entries:
                after = identifier.decode()
                yield after, _adapter.validate_json(fields[b"event"])
    except (redis.RedisError, OSError) as error:
        log.warning("subscribe_failed", error=str(error))
        yield None
    finally:
        await connection.aclose()


def answer_entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Entries of an XREAD of one stream, in either protocol's shape."""
    if not answer:
        return []
    found = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    return found[0] if found and isinstance(found[0], list) else found
