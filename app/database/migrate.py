"""Brings the database to the newest schema, and says what is wrong with another; safe by several processes at once."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.database import engine
from app.messages import say
from app.settings import data_folder

AWAY_SECONDS = 60.0  # how long `migrate` waits for a database that is away
PAUSE = (0.25, 5.0)  # shortest and longest between two tries
ADVISORY_LOCK = 7202
OLDER = "The database has an older schema than this version of Danqing; run `danqing migrate`"
NEWER = "The database has a newer schema than this version of Danqing; install the newer version"
EMPTY = "The database is empty; run `danqing migrate`"


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def migrate() -> None:
    """Upgrade to the newest revision. Raises SystemExit where the database stays away, or has a newer schema."""
    data = data_folder()
    with (data / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wait_for(engine())
        with alone(engine()):
            if schema_problem() == NEWER:
                raise SystemExit(f"danqing: {NEWER}")
            with engine().connect() as connection:
                upgrade(connection)
                connection.commit()


def upgrade(connection: Connection) -> None:
    """To the newest revision. In a transaction that its caller has begun, it is all or nothing with it."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def wait_for(database: Engine) -> None:
    """Until it takes a connection. Raises SystemExit after AWAY_SECONDS."""
    deadline, pause, told = time.monotonic() + AWAY_SECONDS, PAUSE[0], False
    while True:
        try:
            with database.connect():
                return
        except OperationalError as error:
            if time.monotonic() + pause > deadline:
                raise SystemExit(f"danqing: the database does not answer: {reason(error)}") from error
            if not told:
                say(f"danqing: the database does not answer, waiting up to {AWAY_SECONDS:.0f} s: {reason(error)}")
                told = True
        time.sleep(pause)
        pause = min(2 * pause, PAUSE[1])


def reason(error: Exception) -> str:
    """What the database itself says, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


@contextmanager
def alone(database: Engine) -> Iterator[None]:
    """Processes of all machines one after another, where they share a PostgreSQL."""
    if database.dialect.name != "postgresql":
        yield
        return
    # A connection of its own without a transaction: it is idle for as long as the migrations take.
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # closed at the end, and the lock with it; one that goes back to the pool keeps it
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
        yield


@cache
def revisions() -> tuple[str | None, frozenset[str]]:
    """The newest of this version's scripts, and all."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def schema_problem(database: Engine | None = None) -> str | None:
    """What an operator has to do about the schema, None where it is this version's. Raises what an absent database
    raises.
    """
    try:
        with (database or engine()).connect() as connection:
            found = set(connection.scalars(text("SELECT version_num FROM alembic_version")))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42P01" and "no such table" not in str(error.orig):
            raise
        return EMPTY
    newest, known = revisions()
    if found == {newest}:
        return None
    return EMPTY if not found else OLDER if found <= known else NEWER


def known_problem() -> str | None:
    """`schema_problem` as far as one can tell now: a database that is away is a matter of its own."""
    try:
        return schema_problem()
    except DBAPIError:
        return None
