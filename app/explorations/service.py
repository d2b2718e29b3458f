"""Live frames: one picture while a slider moves. Nothing is stored; the latest request of a user wins.

A request goes over a Redis list to whichever generation worker takes it, the frame comes back over a list of its own.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import redis
from sqlalchemy.orm import Session

from app.database import new_id
from app.errors import Invalid, Unavailable
from app.generations import service as generations
from app.generations.inputs import KeptInputs
from app.generations.schemas import GenerationIn
from app.jobs.events import client
from app.security import Principal
from models.contract.message import Message

REQUESTS = "danqing:explorations"
PATIENCE_SECONDS = 10.0  # a first picture has to be brought into the latent space of a GAN
WAIT_SECONDS = 1.0  # less than the client's own timeout
MOST_WAITING = 100  # requests that no worker has taken
_waiting = threading.BoundedSemaphore(16)  # each holds one of the web process's forty threads
FRAME, PROBLEM, OUTDATED = b"F", b"P", b"O"  # first byte of an answer; a frame is its media type, a line, the file


@dataclass(frozen=True)
class Exploration:
    """A request on its way to a worker. `until` is by the clock of all machines."""

    id: str
    user: str
    model: str
    checkpoint_sha256: str
    task: str
    params: dict[str, Any]
    inputs: KeptInputs
    until: float

    @property
    def answer_key(self) -> str:
        return f"danqing:frame:{self.id}"

    @property
    def latest_key(self) -> str:
        """Under which the newest request of its user is known, as `mark`."""
        return f"danqing:exploring:{self.user}"

    @property
    def given(self) -> str:
        """The same for all requests that work from the same pictures, which to find may be most of the work."""
        return hashlib.sha256(json.dumps([self.checkpoint_sha256, self.inputs], sort_keys=True).encode()).hexdigest()

    @property
    def mark(self) -> bytes:
        return f"{self.id} {self.given}".encode()

    def is_wanted(self, latest: object) -> bool:
        return latest == self.mark and time.time() < self.until

    def is_useful_to(self, latest: object) -> bool:
        """Whether the newest request needs what this one has begun to find."""
        return isinstance(latest, bytes) and latest.endswith(self.given.encode())


def prepared(session: Session, user: Principal, given: GenerationIn) -> Exploration:
    """Checked as a generation would be. Raises NotFound, Invalid with the fields."""
    asked = generations.checked(session, user, given)
    if not asked.task.live:
        raise Invalid("This task is too slow to follow a slider", errors=[{"loc": ["body", "task"]}])
    asked.params.seed, asked.params.count = asked.params.seed or 0, 1
    return Exploration(
        id=new_id(),
        user=user.id,
        model=asked.checkpoint.name,
        checkpoint_sha256=asked.checkpoint.sha256,
        task=asked.task.name,
        params=asked.params.model_dump(mode="json"),
        inputs=asked.inputs,
        until=time.time() + PATIENCE_SECONDS,
    )


def frame(wanted: Exploration) -> tuple[bytes, str] | None:
    """(the file, its media type); None when a newer request of this user has come. Raises Invalid, Unavailable."""
    if not _waiting.acquire(blocking=False):
        raise Unavailable("Too many live frames are requested at once")
    try:
        return exchange(wanted)
    finally:
        _waiting.release()


def exchange(wanted: Exploration) -> tuple[bytes, str] | None:
    try:
        redis_client = client()
        with redis_client.pipeline() as pipe:
            pipe.set(wanted.latest_key, wanted.mark, ex=60)
            pipe.rpush(REQUESTS, json.dumps(asdict(wanted)))
            pipe.ltrim(REQUESTS, -MOST_WAITING, -1)
            pipe.expire(REQUESTS, 60)
            pipe.execute()
        while time.time() < wanted.until:
            answer: Any = redis_client.blpop([wanted.answer_key], timeout=WAIT_SECONDS)
            if answer is not None:
                kind, content = answer[1][:1], answer[1][1:]
                if kind == PROBLEM:
                    raise Invalid(Message.from_json(json.loads(content)))
                media_type, _, frame = content.partition(b"\n")
                return (frame, media_type.decode()) if kind == FRAME else None
            if redis_client.get(wanted.latest_key) != wanted.mark:
                return None
    except (redis.RedisError, OSError) as error:
        raise Unavailable("Redis is down; live frames need it") from error
    raise Unavailable("No worker drew this in time")
