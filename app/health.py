"""Whether the studio lives and works: for supervisors, load balancers and Prometheus. It waits for no other work."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.admin import overview
from app.checkpoints import service as checkpoints
from app.database import now, probe, session_scope
from app.database.migrate import schema_problem
from app.errors import Forbidden
from app.jobs import pauses
from app.jobs.registry import queues
from app.machines import liveness
from app.metrics import render
from app.outages import outage
from app.settings import get_settings
from app.storage import get_storage
from app.users.deps import identify
from app.web.lanes import Lane

STUCK_SECONDS = 15.0  # for so long a job may wait while a worker has nothing to do
KEEP_SECONDS = 1.0  # an answer serves all probes that come meanwhile
HEALTH = Lane("health", threads=2, each=2, patience=5)
Part = Callable[[], str | None]
log = structlog.get_logger()


async def healthz(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether jobs would be taken and done; each part with its reason."""
    parts = await HEALTH.run("health", examine)
    ready = all(state == "ok" for name, state in parts.items() if name not in TOLD)
    return JSONResponse({"status": "ready" if ready else "not ready", "parts": parts}, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Prometheus; from the networks of a setting, or with an admin's key."""
    return await HEALTH.run("health", lambda: measured(request))


def measured(request: Request) -> Response:
    if not get_settings().may_read_metrics(request.scope.get("state", {}).get("peer", "")):
        user = identify(request) if "authorization" in request.headers else None
        if user is None or not user.is_admin:
            raise Forbidden("Metrics need an admin's key, or a network in DANQING_METRICS_FROM")
    with session_scope(writing=False) as session:
        body = render(
            overview.counts(session),
            liveness.alive(session),
            {queue: age_of_oldest(session, queue) or 0.0 for queue in queues()},
        )
    return Response(body, media_type="text/plain; version=0.0.4")


routes = [
    Route("/healthz", healthz, include_in_schema=False),
    Route("/readyz", readyz, include_in_schema=False),
    Route("/metrics", metrics, include_in_schema=False),
]

# --- parts ----------------------------------------------------------------------------------------------------------

TOLD = ("redis", "workers")  # said, but no reason to send nobody here: jobs are kept and run when these are back
_examined: tuple[float, dict[str, str]] = (0.0, {})


def examine() -> dict[str, str]:
    """What is wrong with each part, or "ok"."""
    global _examined
    moment, parts = _examined
    if time.monotonic() - moment > KEEP_SECONDS:
        every: dict[str, Part] = {
            "database": database,
            "workers": workers,
            "queue": waiting,
            "redis": lambda: None if overview.redis_answers() else "Redis does not answer; jobs run all the same",
            "storage": lambda: get_storage().problem(),
            "models": lambda: None if checkpoints.catalogue() else "there is no model to draw with",
        }
        parts = {name: state(part) for name, part in every.items()}
        _examined = (time.monotonic(), parts)
    return parts


def state(part: Part) -> str:
    try:
        return part() or "ok"
    except Exception as error:
        fault = outage(error)
        log.warning("not_ready", part=getattr(part, "__name__", "part"), error=repr(error))
        return fault.message if fault else "It cannot be told; the log has the details"


def database() -> str | None:
    if problem := schema_problem():
        return problem
    probe()
    return None


def workers() -> str | None:
    with session_scope(writing=False) as session:
        alive = liveness.alive_by_queue(session)
    return None if all(alive.get(queue.name) for queue in queues().values() if queue.needed) else "no worker is alive"


def waiting() -> str | None:
    """Jobs that wait although a worker is idle, or for want of any worker; not those of a queue that is paused."""
    with session_scope(writing=False) as session:
        alive = liveness.alive(session)
        held = pauses.paused(session)
        for queue in queues():
            if queue in held:
                continue
            age = age_of_oldest(session, queue)
            if age is None or age < STUCK_SECONDS:
                continue
            theirs = {worker.name for worker in alive if worker.queue == queue}
            if not theirs:
                return f"a job of {queue} has waited for {age:.0f} s: no worker is alive"
            if idle := sorted(theirs - busy(session, queue)):
                return f"a job of {queue} has waited for {age:.0f} s while {len(idle)} worker(s) had nothing to do"
    return None


def age_of_oldest(session: Session, queue: str) -> float | None:
    """Seconds that the oldest job has waited for which there could be a worker; None when none waits."""
    table = queues()[queue].table
    query = select(func.min(table.created_at)).where(table.status == "queued", table.queue == queue)
    oldest: datetime | None = session.scalar(query.where(table.notice.is_(None)))
    return None if oldest is None else max(0.0, (now() - oldest).total_seconds())


def busy(session: Session, queue: str) -> set[str]:
    """Names of the workers that hold a job."""
    table = queues()[queue].table
    query = select(table.worker).where(table.status == "running", table.queue == queue)
    return {name for name in session.scalars(query) if name}
