"""The engine, the base class of all tables, and `session_scope()`: the only place that commits."""

from __future__ import annotations

import os
import secrets
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import uuid_utils
from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    DateTime,
    Dialect,
    Engine,
    Text,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from app.settings import get_settings
from models.contract.message import Message

PROBE_MILLISECONDS = 500
BUSY_MILLISECONDS = 8_000  # how long a writer waits for another before the answer is 503


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on every database; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class MessageJSON(TypeDecorator[Message]):
    """A message with its template and values, so that it can be read in any language."""

    impl = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        return None if value is None else Message(value).to_json()

    def process_result_value(self, value: dict[str, Any] | None, dialect: Dialect) -> Message | None:
        return None if value is None else Message.from_json(value)


class Base(DeclarativeBase):
    type_annotation_map = {
        datetime: UTCDateTime(),
        int: BigInteger(),
        str: Text(),
        Message: MessageJSON(),
        dict[str, Any]: JSON().with_variant(JSONB(), "postgresql"),
        list[str]: JSON().with_variant(JSONB(), "postgresql"),
    }


class Ids:
    """UUIDv7 (RFC 9562): they sort by the time of their making, also within one millisecond, and also where the clock
    goes back: lists are in their order, and what is new must not be buried below what is old.
    """

    def __init__(self) -> None:
        self.lock, self.newest = threading.Lock(), ""

    def make(self) -> str:
        with self.lock:
            made = str(uuid_utils.uuid7())
            self.newest = made if made > self.newest else following(self.newest)
            return self.newest

    def not_before(self, identifier: str) -> None:
        """What is made from now on comes after this one."""
        with self.lock:
            self.newest = max(self.newest, identifier)

    def forked(self) -> None:
        self.lock = threading.Lock()
        uuid_utils.reseed_rng()


def following(identifier: str) -> str:
    """An id of the next millisecond."""
    milliseconds = (uuid.UUID(identifier).int >> 80) + 1
    a, b = secrets.randbits(12), secrets.randbits(62)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | a << 64 | 2 << 62 | b))


def first_id(at: datetime) -> str:
    """Before every id that was made at this time or after it."""
    return str(uuid.UUID(int=max(0, int(at.timestamp() * 1000)) << 80))


_ids = Ids()
os.register_at_fork(after_in_child=_ids.forked)
new_id, not_before = _ids.make, _ids.not_before


def learn_newest() -> None:
    """Called once by a process that will make ids: they come after all that are there. Says nothing where the database
    is away.
    """
    with suppress(DBAPIError), session_scope(writing=False) as session:
        for table in Base.metadata.sorted_tables:
            if "id" in table.c and (newest := session.scalar(select(func.max(table.c.id)))):
                not_before(newest)


def now() -> datetime:
    return datetime.now(UTC)


def clock(session: Session) -> datetime:
    """The time that leases go by: the database's where several machines share one, else this machine's."""
    if session.get_bind().dialect.name == "postgresql":
        found: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found
    return now()


@cache
def engine() -> Engine:
    """One engine a process. Forked children must call `engine().dispose(close=False)` first."""
    return open_database(get_settings().database)


def open_database(url: str | URL) -> Engine:
    """An engine as the studio needs it, in SQLAlchemy's form of the URL."""
    if make_url(url).get_backend_name() == "sqlite":
        made = create_engine(
            url,
            connect_args={"timeout": BUSY_MILLISECONDS / 1000, "check_same_thread": False},
            pool_size=20,
            max_overflow=40,
        )
        event.listen(made, "connect", configure_sqlite)
        event.listen(made, "begin", begin_sqlite)
        return made
    return create_engine(
        url,
        pool_size=20,
        max_overflow=20,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": f"-c lock_timeout={BUSY_MILLISECONDS}"},
    )


def configure_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MILLISECONDS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_sqlite(connection: Any) -> None:
    """A writer takes the write lock at once: a read that turns into a write could otherwise fail half-way."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@cache
def sessions(database: Engine, writing: bool) -> sessionmaker[Session]:
    """Made once: to make one takes as long as a small query."""
    return sessionmaker(database.execution_options(writing=True) if writing else database, expire_on_commit=False)


@contextmanager
def session_scope(writing: bool = True) -> Iterator[Session]:
    """A transaction: committed at the end, rolled back on any error. `writing=False` for readers."""
    with sessions(engine(), writing).begin() as session:
        yield session


def probe() -> None:
    """Whether the database can be written now: takes the writer's place for a moment, within half a second.

    Raises what the database raises, SQLite's errors as they are.
    """
    if engine().dialect.name == "postgresql":
        with engine().connect() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = {PROBE_MILLISECONDS}"))
            connection.execute(text("UPDATE upkeep SET cursor = cursor WHERE name = ''"))
            connection.rollback()
        return
    raw = engine().raw_connection()
    try:
        raw.cursor().execute(f"PRAGMA busy_timeout={PROBE_MILLISECONDS}")
        try:
            raw.cursor().execute("BEGIN IMMEDIATE")
            raw.cursor().execute("ROLLBACK")
        finally:
            raw.cursor().execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    finally:
        raw.close()


def storage_lock(session: Session, exclusive: bool = False) -> None:
    """Held until the end of a writing transaction by writers of files (shared) and garbage collection (exclusive).

    On SQLite writers exclude each other from their first statement on.
    """
    if session.get_bind().dialect.name == "postgresql":
        function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
        session.execute(text(f"SELECT {function}(7201)"))
    else:
        session.execute(text("SELECT 1"))
