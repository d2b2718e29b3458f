"""Faults of the surroundings (database, disk, storage) told apart, each in one true sentence. A request meets them as
507 or 503, a job waits for their end.
"""

from __future__ import annotations

import errno
import shutil
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import DISK_IS_FULL, DomainError, StorageFull, Unavailable
from app.settings import get_settings

SOON, LATER = 5, 60  # seconds until trying again is worth it
ROOM = 1 << 20  # bytes: with less, "input/output error" of a database means that its disk is full
LOCKED = "The database is locked by another writer; nothing was saved, try again in a few seconds"
READ_ONLY = "The database is read-only; nothing was saved"
AWAY = "The database is unreachable; nothing was saved, try again in a few seconds"
FAILING = "The database's disk is failing; nothing was saved"
DAMAGED = "The database is damaged; an admin has to restore it from a backup"
BUSY = "Too many requests are waiting for the database; try again in a few seconds"
OTHER_SCHEMA = "The database schema does not match this version of Danqing; `danqing doctor` says what to do"
DISK_READ_ONLY = "The disk is read-only; nothing was saved"
NETWORK = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}


def outage(error: BaseException) -> DomainError | None:
    """What a fault of the surroundings is; None for any other error."""
    if isinstance(error, StorageFull | Unavailable):
        return error
    if isinstance(error, PoolTimeout):
        return Unavailable(BUSY, retry_after=SOON)
    if hasattr(error, "sqlite_errorname"):
        return of_sqlite(error)
    if isinstance(error, DBAPIError) and error.orig is not None:
        return of_sqlite(error.orig) if hasattr(error.orig, "sqlite_errorname") else of_postgresql(error)
    if isinstance(error, OSError):
        return of_system(error)
    return None


def in_words(error: BaseException) -> str:
    """Of any error, in one line for a log."""
    fault = outage(error)
    return fault.message if fault else repr(error)


def of_system(error: OSError) -> DomainError | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(DISK_IS_FULL, retry_after=LATER)
    if error.errno == errno.EROFS:
        return Unavailable(DISK_READ_ONLY, retry_after=LATER)
    if isinstance(error, ConnectionError | TimeoutError) or error.errno in NETWORK:
        return Unavailable("Another part of the studio is not responding; try again in a few seconds", retry_after=SOON)
    return None


def of_sqlite(error: Any) -> DomainError | None:
    """By SQLite's extended code, such as SQLITE_BUSY_SNAPSHOT."""
    name = str(error.sqlite_errorname)
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and is_full()):
        return StorageFull(DISK_IS_FULL, retry_after=LATER)
    if name.startswith("SQLITE_ERROR") and ("no such table" in str(error) or "no such column" in str(error)):
        return Unavailable(OTHER_SCHEMA, retry_after=LATER)
    for beginning, sentence, seconds in (
        ("SQLITE_BUSY", LOCKED, SOON),
        ("SQLITE_LOCKED", LOCKED, SOON),
        ("SQLITE_READONLY", READ_ONLY, LATER),
        ("SQLITE_CANTOPEN", AWAY, SOON),
        ("SQLITE_IOERR", FAILING, LATER),
        ("SQLITE_CORRUPT", DAMAGED, LATER),
        ("SQLITE_NOTADB", DAMAGED, LATER),
    ):
        if name.startswith(beginning):
            return Unavailable(sentence, retry_after=seconds)
    return None


def is_full() -> bool:
    try:
        return shutil.disk_usage(get_settings().data).free < ROOM
    except OSError:
        return False


def of_postgresql(error: DBAPIError) -> DomainError | None:
    """By SQLSTATE (PostgreSQL's manual, appendix A); none where the connection itself failed."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state == "53100":
        return StorageFull(DISK_IS_FULL, retry_after=LATER)
    if state in ("25006", "42P01", "42703"):
        return Unavailable(READ_ONLY if state == "25006" else OTHER_SCHEMA, retry_after=LATER)
    if state in ("55P03", "40P01", "40001"):
        return Unavailable(LOCKED, retry_after=SOON)
    if state.startswith("53"):  # too many connections, out of memory
        return Unavailable(BUSY, retry_after=SOON)
    gone = error.connection_invalidated or state.startswith(("08", "57")) or state == "XX000"
    if gone or (not state and type(error.orig).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError")):
        return Unavailable(AWAY, retry_after=SOON)
    return None
