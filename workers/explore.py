"""Draws live frames beside the jobs, in a thread of the worker; see `app.explorations.service`."""

from __future__ import annotations

import json
import threading
import time

import redis
import structlog

from app.explorations.service import FRAME, OUTDATED, PROBLEM, REQUESTS, WAIT_SECONDS, Exploration
from app.jobs.events import client
from app.media import encoded
from models.checkpoint import CheckpointError
from models.contract.message import Message
from models.contract.sampling import Cancelled, Request, Unfit
from models.parts.redrawing import smaller
from workers import model_cache
from workers.inputs import InputMissing, read_inputs, reason
from workers.screening import measure_for, screened

KEEP_SECONDS = 30  # of an answer that nobody fetches
LOOK_SECONDS = 0.1
log = structlog.get_logger()


def explore_forever(stop: threading.Event) -> None:
    model_cache.limit_threads()  # this thread's own share of the cores
    while not stop.is_set():
        try:
            found = client().blpop([REQUESTS], timeout=WAIT_SECONDS)
            if found is not None:
                answer(Exploration(**json.loads(found[1])))
        except (redis.RedisError, OSError) as error:
            log.warning("exploring_failed", error=str(error))
            stop.wait(2)
        except Exception:
            log.exception("exploring_failed")


def answer(wanted: Exploration) -> None:
    """Draw it, unless a newer one of the same user has come; whatever happens, say something."""
    try:
        content = FRAME + draw(wanted)
    except Cancelled:
        content = OUTDATED
    except CheckpointError as error:
        content = problem(error.message)
    except (InputMissing, Unfit) as error:
        content = problem(reason(error))
    except Exception as error:
        log.exception("frame_failed", model=wanted.model)
        content = problem(reason(error))
    with client().pipeline() as pipe:
        pipe.rpush(wanted.answer_key, content)
        pipe.expire(wanted.answer_key, KEEP_SECONDS)
        pipe.execute()


def problem(message: Message) -> bytes:
    return PROBLEM + json.dumps(message.to_json()).encode()


def draw(wanted: Exploration) -> bytes:
    """Its media type, a line, the file. Raises Cancelled when it is no longer wanted.

    What has begun goes on, though it takes longer than its request waits, while its user asks for the same pictures:
    the next request finds them found.
    """
    looked = time.monotonic()

    def check_cancelled(step: int = 0, total: int = 0, previews: object = None) -> None:
        nonlocal looked
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            if not wanted.is_useful_to(client().get(wanted.latest_key)):
                raise Cancelled

    if not wanted.is_wanted(client().get(wanted.latest_key)):
        raise Cancelled
    task = model_cache.checkpoint(wanted.model).task(wanted.task)
    params = task.params.model_validate(wanted.params)
    sampler = model_cache.sampler(wanted.model, wanted.checkpoint_sha256)
    request = Request(wanted.task, params, params.seed or 0, read_inputs(wanted.inputs))
    if most := task.frame:
        request = smaller(request, lambda height, width: (most / (height * width)) ** 0.5)
    (output,) = sampler.sample([request], check_cancelled)
    kept = encoded(screened(output, measure_for(wanted.user)).value)
    return kept.media_type.encode() + b"\n" + kept.content
