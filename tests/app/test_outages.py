"""Each fault of the surroundings is told by its own sentence, and no mistake of ours passes for one."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app import outages
from app.errors import Conflict, StorageFull, Unavailable
from app.outages import outage


def unpooled(url: str) -> Connection:
    return create_engine(url, poolclass=NullPool).connect()


def failing(statement: str, url: str, **options: object) -> DBAPIError:
    with create_engine(url, poolclass=NullPool, **options).connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.exec_driver_sql(statement)
        connection.commit()
    return raised.value


def test_a_full_disk_under_sqlite(tmp_path: Path) -> None:
    with unpooled(f"sqlite:///{tmp_path / 'a.sqlite'}") as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.exec_driver_sql("PRAGMA max_page_count=2")  # what a full disk says is said of this too
        with pytest.raises(OperationalError) as raised:
            connection.exec_driver_sql("INSERT INTO t VALUES (randomblob(100000))")
    fault = outage(raised.value)
    assert isinstance(fault, StorageFull) and fault.message == "The disk is full; nothing was saved"


def test_a_read_only_database(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.sqlite").execute("CREATE TABLE t (x)").connection.close()
    fault = outage(failing("INSERT INTO t VALUES (1)", f"sqlite:///file:{tmp_path / 'a.sqlite'}?mode=ro&uri=true"))
    assert isinstance(fault, Unavailable) and fault.message == outages.READ_ONLY


def test_a_locked_database(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("CREATE TABLE t (x)")
    lock.execute("BEGIN EXCLUSIVE")
    fault = outage(failing("INSERT INTO t VALUES (1)", f"sqlite:///{path}", connect_args={"timeout": 0.05}))
    lock.close()
    assert isinstance(fault, Unavailable) and fault.message == outages.LOCKED and fault.retry_after


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(OperationalError) as raised:
        create_engine(f"sqlite:///{tmp_path / 'missing' / 'a.sqlite'}").connect()
    assert getattr(outage(raised.value), "message", "") == outages.AWAY


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this is no database, however long one looks at it" * 100)
    assert getattr(outage(failing("SELECT * FROM t", f"sqlite:///{path}")), "message", "") == outages.DAMAGED


def test_another_schema(tmp_path: Path) -> None:
    fault = outage(failing("SELECT x FROM nowhere", f"sqlite:///{tmp_path / 'a.sqlite'}"))
    assert getattr(fault, "message", "") == outages.OTHER_SCHEMA


def psycopg_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_postgresql_read_only_locked_of_another_schema_and_away(postgres: str) -> None:
    url = psycopg_url(postgres)
    assert getattr(outage(failing("SELECT 1 FROM nowhere", url)), "message", "") == outages.OTHER_SCHEMA
    with unpooled(url) as one, unpooled(url) as two:
        one.exec_driver_sql("CREATE TABLE locked (x int)")
        one.commit()
        one.exec_driver_sql("LOCK TABLE locked")
        two.exec_driver_sql("SET lock_timeout = '50ms'")
        with pytest.raises(OperationalError) as raised:
            two.exec_driver_sql("INSERT INTO locked VALUES (1)")
        assert getattr(outage(raised.value), "message", "") == outages.LOCKED
        two.rollback()
        one.rollback()
        two.exec_driver_sql("SET default_transaction_read_only = on")
        two.commit()
        with pytest.raises(DBAPIError) as refused:
            two.exec_driver_sql("INSERT INTO locked VALUES (1)")
        assert getattr(outage(refused.value), "message", "") == outages.READ_ONLY
        two.rollback()
        one.exec_driver_sql("DROP TABLE locked")
        one.commit()
        killed = two.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        one.exec_driver_sql(f"SELECT pg_terminate_backend({killed})")
        with pytest.raises(DBAPIError) as gone:
            two.exec_driver_sql("SELECT 1")
        assert getattr(outage(gone.value), "message", "") == outages.AWAY
    with pytest.raises(OperationalError) as away:
        create_engine("postgresql+psycopg://nobody@127.0.0.1:1/x").connect()
    assert getattr(outage(away.value), "message", "") == outages.AWAY


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full; nothing was saved"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full; nothing was saved"),
        (OSError(errno.EROFS, "Read-only file system"), outages.DISK_READ_ONLY),
        (PoolTimeout("QueuePool limit reached"), outages.BUSY),
    ],
)
def test_disks_and_pools(error: Exception, sentence: str) -> None:
    assert getattr(outage(error), "message", "") == sentence


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError("x"), Conflict("x"), KeyError("x"), MemoryError()]
)
def test_mistakes_are_no_outages(error: Exception) -> None:
    assert outage(error) is None
