"""Leases on jobs: claim, renew, finish, give back. Every write names its token: who lost the lease changes nothing."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import ColumnElement, Select, case, func, literal, literal_column, null, select, update
from sqlalchemy.orm import Session

from app.database import UTCDateTime, clock, not_before, now, session_scope
from app.generations import turns
from app.generations.tables import Generation
from app.jobs.registry import queues
from app.jobs.table import Job
from app.outages import in_words
from app.settings import get_settings
from app.users.tables import User
from models.contract.message import Message

J = TypeVar("J", bound=Job)
log = structlog.get_logger()
GONE = ("lost", "settled")  # states in which a lease is no longer ours
LOOK_SECONDS = 0.2  # how often a step may look at the row
MOST_USERS = 16  # whose jobs one batch is made of
Pinned = tuple[str, str]  # a model and the SHA-256 of its weights


@dataclass
class Lease(Generic[J]):
    """One claimed job: its row as it was then. `state` is "held", "cancelled", "lost" or "settled"."""

    row: J
    token: str
    attempt: int
    state: str = "held"
    step: int = 0
    total: int = 0

    @property
    def job(self) -> str:
        return self.row.id


def claim(
    session: Session,
    queue: str,
    worker: str,
    capacity: int,
    lacking: Collection[Pinned] = (),
    elsewhere: Mapping[str, float] = MappingProxyType({}),
) -> list[Lease[Generation]]:
    """The next job in fair order, and as many more that fit into one batch with it; [] when nothing waits.

    Order: priority, then the user whose turn it is (see `generations.turns`), then age. `capacity` is in units of cost;
    the first job is taken however large it is. Jobs of checkpoints that this worker is `lacking` are left to others,
    those of models that are loaded `elsewhere` for so many seconds.
    Every query reads a few entries of an index, however many jobs wait.
    """
    waits = waiting(queue, lacking)
    for model, seconds in sorted(elsewhere.items()):
        since = clock(session) - timedelta(seconds=seconds)
        waits = (*waits, ~((Generation.model == model) & (Generation.created_at > since)))
    leases = take_first(session, waits, worker)
    room = capacity - sum(lease.row.cost for lease in leases)
    if leases and room > 0:
        first = leases[0].row
        alike = (
            *waits,
            Generation.model == first.model,
            Generation.checkpoint_sha256 == first.checkpoint_sha256,
            Generation.batch_key == first.batch_key,
        )
        for user_id in users_in_turn(session, alike):
            mates = select(Generation).where(*alike, Generation.user_id == user_id, Generation.cost <= room)
            for job in session.scalars(locked(mates.order_by(Generation.id).limit(room))):
                if job.cost <= room:
                    leases += (taken := take(session, job, worker))
                    room -= sum(lease.row.cost for lease in taken)
            if room <= 0:
                break
    if leases:
        costs = Counter[str]()
        for lease in leases:
            costs[lease.row.user_id] += lease.row.cost
            not_before(lease.row.id)  # its works are newer than it, also where this machine's clock is behind
        turns.serve(session, leases[0].row.user_id, costs)
    return leases


def waiting(queue: str, lacking: Collection[Pinned]) -> tuple[ColumnElement[bool], ...]:
    others = (
        ~((Generation.model == model) & (Generation.checkpoint_sha256 == sha256)) for model, sha256 in sorted(lacking)
    )
    # A literal: a partial index is used only where the query names its condition.
    return (Generation.queue == queue, Generation.status == literal_column("'queued'"), *others)


def take_first(session: Session, waits: tuple[ColumnElement[bool], ...], worker: str) -> list[Lease[Generation]]:
    """The job that is next; of users whose jobs other workers are just taking, the next user's."""
    highest = session.scalar(select(func.max(Generation.priority)).where(*waits))
    if highest is None:
        return []
    first = (*waits, Generation.priority == highest)
    for user_id in users_in_turn(session, first):
        mine = select(Generation).where(*first, Generation.user_id == user_id).order_by(Generation.id).limit(1)
        for job in session.scalars(locked(mine)):
            if leases := take(session, job, worker):
                return leases
    return []


def locked(query: Select[Generation]) -> Select[Generation]:
    return query.with_for_update(of=Generation, skip_locked=True)


def users_in_turn(session: Session, waits: tuple[ColumnElement[bool], ...]) -> list[str]:
    """Who has such jobs, by their clocks, then by the age of their first job.

    Each user is found by one look into the index after the one before (a loose index scan), not by reading every job.
    """
    user = select(func.min(Generation.user_id).label("user_id")).where(*waits).cte("waiting_users", recursive=True)
    following = select(func.min(Generation.user_id)).where(*waits, Generation.user_id > user.c.user_id)
    user = user.union_all(select(following.scalar_subquery()).where(user.c.user_id.is_not(None)))
    oldest = select(func.min(Generation.id)).where(*waits, Generation.user_id == User.id).scalar_subquery()
    query = select(User.id).join(user, user.c.user_id == User.id)
    return list(session.scalars(query.order_by(turns.own_clock(turns.clock(session)), oldest).limit(MOST_USERS)))


def take(session: Session, job: J, worker: str) -> list[Lease[J]]:
    """Compare-and-set: [] when another worker was faster."""
    token, table = secrets.token_hex(16), type(job)
    until = clock(session) + timedelta(seconds=get_settings().lease_seconds)
    done = session.execute(
        update(table)
        .where(table.id == job.id, table.status == "queued")
        .values(
            status="running",
            attempt=table.attempt + 1,
            token=token,
            lease_until=until,
            worker=worker,
            started_at=now(),
            step=getattr(table, "saved", 0),  # a training run goes on from there
            notice=None,
        )
        .execution_options(synchronize_session=False)
    )
    return [Lease(job, token, job.attempt + 1)] if done.rowcount == 1 else []  # type: ignore[attr-defined]


def held(lease: Lease[Any]) -> Any:
    table = type(lease.row)
    return (table.id == lease.job) & (table.token == lease.token) & (table.status == "running")


def renew(leases: Sequence[Lease[Any]]) -> None:
    """Extend what is still ours; mark what was cancelled or lost."""
    with session_scope() as session:
        until = clock(session) + timedelta(seconds=get_settings().lease_seconds)
        for lease in leases:
            if lease.state in GONE:
                continue
            table = type(lease.row)
            kept = session.execute(
                update(table)
                .where(held(lease))
                .values(lease_until=until, step=lease.step, total=lease.total)
                .returning(table.cancel_requested)
            ).first()
            if lease.state in GONE:
                continue  # it was settled meanwhile, by the thread that samples
            if kept is None:
                lease.state = "lost"
                log.warning("lease_lost", job=lease.job)
            elif kept[0]:
                lease.state = "cancelled"


def cancelled(leases: Sequence[Lease[Any]]) -> None:
    """Read whether it is to be cancelled, without writing. All leases are of one table."""
    table = type(leases[0].row)
    with session_scope(writing=False) as session:
        query = select(table.id).where(table.id.in_([lease.job for lease in leases]), table.cancel_requested)
        wanted = set(session.scalars(query))
    for lease in leases:
        if lease.state == "held" and lease.job in wanted:
            lease.state = "cancelled"


@dataclass
class Heartbeat:
    """A thread that renews leases while a batch is sampled; `look()` is for every step in between."""

    leases: Sequence[Lease[Any]]
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
                log.warning("heartbeat_failed", error=in_words(error))

    def poll(self) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            cancelled(self.leases)
        except Exception as error:
            log.warning("look_failed", error=in_words(error))


def end(
    session: Session, lease: Lease[Any], status: str, error: str | None = None, notice: Message | None = None
) -> bool:
    """Finish the job if the lease is still ours; False: it is not, roll back. Only here does a job end by a worker.
    `notice` says what of the request was not used.
    """
    done = session.execute(
        update(type(lease.row))
        .where(held(lease))
        .values(
            status=status,
            error=error,
            notice=notice,
            finished_at=now(),
            token=None,
            lease_until=None,
            step=lease.total if status == "succeeded" else lease.step,
            total=lease.total,
        )
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def release(
    session: Session, lease: Lease[Any], spare_attempt: bool = False, notice: Message | None = None
) -> str | None:
    """Back to the queue for another attempt; a job that was to be cancelled, or paused, does that instead.

    Returns its status now, None when the lease was lost. `spare_attempt`: this turn costs the job none. `notice` says
    why it waits.
    """
    table = type(lease.row)
    values = returned(table) | ({"attempt": table.attempt - 1} if spare_attempt else {}) | {"notice": notice}
    status: str | None = session.scalar(update(table).where(held(lease)).values(values).returning(table.status))
    return status


def release_all(worker: str) -> int:
    """A worker that shuts down returns what it holds; this costs the jobs no attempt."""
    given_back = 0
    with session_scope() as session:
        for table in (queue.table for queue in queues().values()):
            done = session.execute(
                update(table)
                .where(table.worker == worker, table.status == "running")
                .values({**returned(table), "attempt": table.attempt - 1})
            )
            given_back += int(done.rowcount)  # type: ignore[attr-defined]
    return given_back


def returned(table: type[Job]) -> dict[str, Any]:
    """Values of a job that no worker holds any more."""
    becomes = table.status_when_released()
    return {
        "status": becomes,
        "finished_at": case((becomes == "cancelled", literal(now(), UTCDateTime())), else_=null()),
        "token": None,
        "lease_until": None,
        "step": 0,
    }
