"""Leases on jobs: claim, renew, finish, give back. Every write names its token: who lost the lease changes nothing."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Select, case, literal, null, select, update
from sqlalchemy.orm import Session

from app.database import UTCDateTime, clock, now, session_scope
from app.generations.tables import Generation
from app.settings import get_settings
from app.users.tables import User

log = structlog.get_logger()
GONE = ("lost", "settled")  # states in which a lease is no longer ours
LOOK_SECONDS = 0.2  # how often a step may look at the row


@dataclass
class Lease:
    """One claimed job, as it was when claimed. `state` is "held", "cancelled", "lost" or "settled"."""

    job: str
    user: str
    user_name: str
    token: str
    model: str
    task: str
    checkpoint_sha256: str
    params: dict[str, Any]
    count: int
    attempt: int
    request_id: str
    state: str = "held"
    step: int = 0
    total: int = 0


def claim(session: Session, queue: str, worker: str, capacity: int) -> list[Lease]:
    """The next job in fair order, and as many more that fit into one batch with it; [] when nothing waits.

    Order: priority, then the user who was served longest ago, then age. `capacity` is in pictures; the first job is
    taken however large it is.
    """
    head = session.execute(in_order(queue).limit(1)).first()
    if head is None:
        return []
    first, owner = head
    leases = take(session, first, owner, worker)
    room = capacity - sum(lease.count for lease in leases)
    if room > 0 and leases:
        alike = in_order(queue).where(
            Generation.model == first.model,
            Generation.task == first.task,
            Generation.id != first.id,
            Generation.checkpoint_sha256 == first.checkpoint_sha256,
            Generation.count <= room,
        )
        for job, user in session.execute(alike.limit(room)):
            if job.count <= room:
                leases += (taken := take(session, job, user, worker))
                room -= sum(lease.count for lease in taken)
    for user_id in sorted({lease.user for lease in leases}):  # one order for all workers: no deadlock
        session.execute(update(User).where(User.id == user_id).values(served_at=now()))
    return leases


def in_order(queue: str) -> Select[Generation, User]:
    return (
        select(Generation, User)
        .join(User, User.id == Generation.user_id)
        .where(Generation.status == "queued", Generation.queue == queue)
        .order_by(Generation.priority.desc(), User.served_at.asc().nulls_first(), Generation.id)
        .with_for_update(of=Generation, skip_locked=True)
    )


def take(session: Session, job: Generation, user: User, worker: str) -> list[Lease]:
    """Compare-and-set: [] when another worker was faster."""
    token = secrets.token_hex(16)
    until = clock(session) + timedelta(seconds=get_settings().lease_seconds)
    done = session.execute(
        update(Generation)
        .where(Generation.id == job.id, Generation.status == "queued")
        .values(
            status="running",
            attempt=Generation.attempt + 1,
            token=token,
            lease_until=until,
            worker=worker,
            started_at=now(),
            step=0,
        )
        .execution_options(synchronize_session=False)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        return []
    return [
        Lease(
            job.id,
            user.id,
            user.name,
            token,
            job.model,
            job.task,
            job.checkpoint_sha256,
            job.params,
            job.count,
            job.attempt + 1,
            job.request_id,
        )
    ]


def held(lease: Lease) -> Any:
    return (Generation.id == lease.job) & (Generation.token == lease.token) & (Generation.status == "running")


def renew(leases: list[Lease]) -> None:
    """Extend what is still ours; mark what was cancelled or lost."""
    with session_scope() as session:
        until = clock(session) + timedelta(seconds=get_settings().lease_seconds)
        for lease in leases:
            if lease.state in GONE:
                continue
            kept = session.execute(
                update(Generation)
                .where(held(lease))
                .values(lease_until=until, step=lease.step, total=lease.total)
                .returning(Generation.cancel_requested)
            ).first()
            if lease.state in GONE:
                continue  # it was settled meanwhile, by the thread that samples
            if kept is None:
                lease.state = "lost"
                log.warning("lease_lost", job=lease.job)
            elif kept[0]:
                lease.state = "cancelled"


def cancelled(leases: list[Lease]) -> None:
    """Read the wish to cancel, without writing."""
    with session_scope(writing=False) as session:
        wanted = set(
            session.scalars(
                select(Generation.id).where(
                    Generation.id.in_([lease.job for lease in leases]), Generation.cancel_requested
                )
            )
        )
    for lease in leases:
        if lease.state == "held" and lease.job in wanted:
            lease.state = "cancelled"


@dataclass
class Heartbeat:
    """A thread that renews leases while a batch is sampled; `look()` is for every step in between."""

    leases: list[Lease]
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _looked: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Heartbeat:
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=get_settings().lease_seconds)

    def _beat(self) -> None:
        while not self._stop.wait(get_settings().lease_seconds / 4):
            try:
                renew(self.leases)
            except Exception as error:  # the database is away: the lease may run out, the next beat tries again
                log.warning("heartbeat_failed", error=str(error))

    def look(self) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            cancelled(self.leases)
        except Exception as error:
            log.warning("look_failed", error=str(error))


def end(session: Session, lease: Lease, status: str, error: str | None = None) -> bool:
    """Finish the job if the lease is still ours; False: it is not, roll back. Only here does a job end by a worker."""
    done = session.execute(
        update(Generation)
        .where(held(lease))
        .values(
            status=status,
            error=error,
            finished_at=now(),
            token=None,
            lease_until=None,
            step=lease.total if status == "succeeded" else lease.step,
            total=lease.total,
        )
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def put_back(session: Session, lease: Lease) -> str | None:
    """Back to the queue for another attempt; a job that was to be cancelled ends instead.

    Returns its status now, None when the lease was lost.
    """
    return session.scalar(update(Generation).where(held(lease)).values(returned()).returning(Generation.status))


def give_back_all(worker: str) -> int:
    """A worker that shuts down returns what it holds; this costs the jobs no attempt."""
    with session_scope() as session:
        done = session.execute(
            update(Generation)
            .where(Generation.worker == worker, Generation.status == "running")
            .values({**returned(), "attempt": Generation.attempt - 1})
        )
        return int(done.rowcount)  # type: ignore[attr-defined]


def returned() -> dict[str, Any]:
    """Values of a job that no worker holds any more."""
    to_cancel = Generation.cancel_requested
    return {
        "status": case((to_cancel, "cancelled"), else_="queued"),
        "finished_at": case((to_cancel, literal(now(), UTCDateTime())), else_=null()),
        "token": None,
        "lease_until": None,
        "step": 0,
    }
