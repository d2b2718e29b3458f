"""Moves a studio to another database: every row of every table, in one transaction, compared before it is kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, func, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError, StatementError

from app.database import Base, engine, open_database
from app.database.migrate import NEWER, alone, reason, schema_problem, upgrade
from app.settings import data_folder, database_form, get_settings

BATCH = 500  # rows in memory at once
SOURCE, TARGET = "the present database", "the target"
DRIVERS = ("postgresql+psycopg", "sqlite", "sqlite+pysqlite")
Row = dict[str, Any]


class NotCopied(Exception):
    """Why, in a sentence for the operator."""


@dataclass
class Tally:
    """The rows of a table, whatever their order."""

    rows: int = 0
    total: int = 0  # a sum of their hashes; equal rows would cancel out in an exclusive or

    def add(self, row: Row) -> None:
        text = json.dumps([normal(value) for value in row.values()], sort_keys=True)
        self.rows += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(text.encode()).digest())) % 2**256


def copy(url: str) -> dict[str, int]:
    """Rows of every table that were copied. Raises NotCopied; then the target is as it was."""
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it may warn of a refused row, which we name in our own words
    address = target_address(url)
    with stopped_studio():
        with refused(SOURCE):
            source = present_database()
        target = open_database(address)
        try:
            with refused(TARGET):
                check_empty(target)
                with alone(target):
                    return copy_tables(source, target)
        finally:
            target.dispose()
            source.dispose()


def target_address(url: str) -> URL:
    """Raises NotCopied without a word of the URL: there may be a password in it."""
    try:
        address = make_url(database_form(url.strip()))
    except (ArgumentError, ValueError):  # of a port, too
        raise NotCopied("that is no URL of a database, such as postgresql://user:password@host/name") from None
    if address.drivername not in DRIVERS:
        raise NotCopied("the URL of the target begins with postgresql:// or sqlite:///")
    if address.get_backend_name() == "sqlite":
        if address.database in (None, "", ":memory:") or address.query or address.host:
            raise NotCopied("the URL of an SQLite target names a file alone, such as sqlite:////folder/danqing.sqlite")
    elif "@" in f"{address.host}{address.database}":  # the rest of the password is there, and would be told
        raise NotCopied("an @ in a password is written as %40 in a URL")
    return address


@contextmanager
def stopped_studio() -> Iterator[None]:
    """Holds the lock of `danqing up`, so that none starts meanwhile either."""
    data = data_folder()
    with (data / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotCopied(f"a studio is running on {data}; stop it first") from None
        yield


def present_database() -> Engine:
    """The studio's own. Raises NotCopied unless its schema is this version's."""
    address = make_url(get_settings().database)
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").is_file():
        raise NotCopied(f"there is no database {address.database}")  # asking would make one
    if problem := schema_problem():
        raise NotCopied(f"{problem[0].lower()}{problem[1:]}")
    return engine()


def check_empty(target: Engine) -> None:
    with target.connect() as connection:
        known = set(inspect(connection).get_table_names())
        for table in Base.metadata.sorted_tables:
            if table.name in known and connection.execute(select(1).select_from(table).limit(1)).first():
                raise NotCopied(f"the target is not empty: its table {table.name} has rows")
    if "alembic_version" in known and schema_problem(target) == NEWER:
        raise NotCopied("the target has a newer schema than this version of Danqing")


@contextmanager
def refused(which: str) -> Iterator[None]:
    """What a database says becomes a sentence; a ValueError is of JSON or a time that is none."""
    try:
        yield
    except (SQLAlchemyError, ValueError) as error:
        raise NotCopied(f"{which} says: {reason(error)}; nothing was kept") from error


@contextmanager
def writing(target: Engine) -> Iterator[Connection]:
    with target.connect().execution_options(writing=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(source: Engine) -> Iterator[Connection]:
    """One state of the whole database; on SQLite every transaction is."""
    with source.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


def copy_tables(source: Engine, target: Engine) -> dict[str, int]:
    """One state of the source into a target without rows, all or nothing; rows of every table."""
    with writing(target) as to, reading(source) as of:
        upgrade(to)
        rows = {table.name: copy_table(of, to, table) for table in Base.metadata.sorted_tables}
        number_on(to)
        return rows


def number_on(target: Connection) -> None:
    """PostgreSQL counts on from what it gave out, not from what is there."""
    if target.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        if (column := table.autoincrement_column) is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            target.execute(select(func.setval(sequence, func.coalesce(func.max(column), 1))).select_from(table))


def copy_table(source: Connection, target: Connection, table: Table) -> int:
    """By the order of the keys, which is that of making: rows that name others of their table come after them."""
    read, written = Tally(), Tally()
    for batch in batches(source, table, f"{SOURCE} (table {table.name})"):
        for row in batch:
            read.add(row)
        insert(target, table, batch)
    for batch in batches(target, table, f"{TARGET} (table {table.name})"):
        for row in batch:
            written.add(row)
    if read != written:
        raise NotCopied(
            f"the table {table.name} is not the same in the target ({read.rows} rows, {written.rows} there); "
            "nothing was kept"
        )
    return read.rows


def batches(connection: Connection, table: Table, which: str) -> Iterator[list[Row]]:
    """Whatever the table's size, BATCH rows are in memory."""
    query = select(table).order_by(*table.primary_key)
    with refused(which), connection.execute(query, execution_options={"yield_per": BATCH}) as found:
        for part in found.mappings().partitions():
            yield [dict(row) for row in part]


def insert(target: Connection, table: Table, batch: Sequence[Row]) -> None:
    """Raises NotCopied that names the row which the target refuses."""
    try:
        with target.begin_nested():
            target.execute(table.insert(), batch)
    except (StatementError, ValueError) as error:
        if target.invalidated:
            raise
        if len(batch) > 1:
            for row in batch:
                insert(target, table, [row])
            return
        key = ", ".join(str(batch[0][column.key]) for column in table.primary_key)
        raise NotCopied(f"{TARGET} refuses row {key} of {table.name}: {reason(error)}; nothing was kept") from error


def normal(value: Any) -> Any:
    """The same for what is the same, however a database spells it: times by UTC, numbers by their value."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [normal(each) for each in value]
    if isinstance(value, float) and math.isfinite(value):
        exact = Decimal(repr(value))  # JSONB keeps 1e23 as the whole number that it reads
        return int(exact) if exact == exact.to_integral_value() else value
    return value
