"""`danqing backup` and `danqing restore`: the studio in one tar file, made while it runs, every file by its hash.

In it: the database as SQLite, whichever it is in; every file that a row names; the checkpoints and the training runs.
Not in it: what is made again (collections, prepared pictures, previews), and secrets of the environment.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sqlalchemy import URL, Connection, select

import app.tables  # noqa: F401  (every table is copied)
from app.checkpoints.tables import PublishedCheckpoint
from app.database import engine, open_database, session_scope
from app.database.copy import NotCopied, check_empty, copy_tables, refused, writing
from app.database.migrate import schema_problem, upgrade
from app.errors import DomainError
from app.settings import get_settings
from app.storage import address, get_storage
from app.upkeep.garbage import NAMING, named
from app.version import VERSION
from models.contract.files import WRITING

FORMAT = 1
DATABASE, MANIFEST, FILES = "database.sqlite", "manifest.json", "files"
FOLDERS = ("checkpoints", "runs")  # of the data folder
BLOCK = 1 << 20
OnProgress = Callable[[int], None]  # files so far


class BackupFailed(Exception):
    """Why, in a sentence for the operator."""


# --- backup ---------------------------------------------------------------------------------------------------------


def backup(target: Path, on_progress: OnProgress = lambda files: None, incomplete: bool = False) -> list[str]:
    """Write the tar file `target`, whole or not at all; returns what is missing or damaged, which `incomplete` allows.

    The database is of one moment. What is made later is not in it, and what is deleted meanwhile is passed over.
    Raises BackupFailed.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=target.resolve().parent, prefix=WRITING)
        try:
            with os.fdopen(descriptor, "wb") as file:
                lost = fill(file, on_progress)
                if lost and not incomplete:
                    raise BackupFailed(
                        f"{len(lost)} files are missing or damaged, {lost[0]} for one; nothing was written "
                        "(`danqing doctor --files` names them, --incomplete leaves them out)"
                    )
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (NotCopied, DomainError) as error:
        raise BackupFailed(str(error)) from error
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}") from error
    return lost


def fill(file: IO[bytes], on_progress: OnProgress) -> list[str]:
    manifest: dict[str, Any] = {"format": FORMAT, "version": VERSION, "made_at": datetime.now(UTC).isoformat()}
    files: dict[str, dict[str, Any]] = {}
    lost = list[str]()

    def add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
        hashed = Hashed(content)
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, hashed)
        files[name] = {"sha256": hashed.hash.hexdigest(), "size": size}
        on_progress(len(files))

    with tarfile.open(fileobj=file, mode="w|") as tar, tempfile.TemporaryDirectory(dir=get_settings().data) as place:
        database = Path(place) / DATABASE
        manifest["tables"], digests = snapshot(database)
        with database.open("rb") as content:
            add(tar, DATABASE, content, database.stat().st_size)
        for digest in digests:
            try:
                found = get_storage().get(digest)
            except (FileNotFoundError, DomainError):
                if is_named(digest):
                    lost.append(digest)
                continue
            add(tar, f"{FILES}/{address(digest)}", io.BytesIO(found), len(found))
        for path in kept_files():
            name = str(path.relative_to(get_settings().data))
            try:
                with path.open("rb") as content:
                    add(tar, name, content, os.fstat(content.fileno()).st_size)
            except FileNotFoundError:  # an old state of a run
                continue
        manifest["files"] = files
        text = json.dumps(manifest).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return lost


class Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        self.hash.update(block)
        return block


def snapshot(path: Path) -> tuple[dict[str, int], list[str]]:
    """Copy the database into an SQLite file; (rows by table, digests of the files that they name). Raises NotCopied."""
    if problem := schema_problem():
        raise NotCopied(f"{problem[0].lower()}{problem[1:]}")
    target = open_database(URL.create("sqlite", database=str(path)))
    try:
        with refused("the database"):
            tables = copy_tables(engine(), target)
        with target.connect() as connection:
            digests = sorted(set(named_by(connection)))
        with target.connect() as connection:  # outside of any reading: the file alone is kept
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        target.dispose()
    return tables, digests


def named_by(connection: Connection) -> Iterator[str]:
    for column in NAMING:
        yield from (digest for digest in connection.scalars(select(column)) if digest)
    for files in connection.scalars(select(PublishedCheckpoint.files)):
        yield from (file["sha256"] for file in files.values())


def is_named(digest: str) -> bool:
    """Still: a row that was deleted since takes its file along."""
    with session_scope(writing=False) as session:
        return bool(named(session, [digest]))


def kept_files() -> Iterator[Path]:
    """Whole files of checkpoints and runs."""
    for folder in FOLDERS:
        for path in sorted((get_settings().data / folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and not any(part.startswith(WRITING) for part in path.parts):
                yield path


# --- restore --------------------------------------------------------------------------------------------------------


def restore(source: Path, on_progress: OnProgress = lambda files: None) -> dict[str, int]:
    """Fill the empty data folder, and the database and the storage of the settings where these are elsewhere; returns
    rows by table.

    Nothing of it is used before every file was compared with its hash. Raises BackupFailed.
    """
    data = get_settings().data
    if data.exists() and any(data.iterdir()):
        raise BackupFailed(f"{data} is not empty; set DANQING_DATA to a new folder")
    place = data.parent / f"{WRITING}restore-{os.getpid()}"
    try:
        place.mkdir(parents=True)
        try:
            tables = dict(unpacked(source, place, on_progress)["tables"])
            settle(place, data)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except (NotCopied, DomainError) as error:
        raise BackupFailed(str(error)) from error
    except (tarfile.TarError, EOFError, KeyError, ValueError, TypeError) as error:
        raise BackupFailed(f"{source} is no backup, or cut off") from error
    except OSError as error:
        raise BackupFailed(f"it cannot be restored: {error.strerror or error}") from error
    return tables


def unpacked(source: Path, place: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Every file below `place`; returns the manifest, which it was compared with. Raises BackupFailed."""
    hashes, manifest = dict[str, str](), None
    with tarfile.open(source, mode="r|") as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is None or not is_safe(entry.name):
                raise BackupFailed(f"{source} holds what no backup holds: {entry.name}")
            if entry.name == MANIFEST:
                manifest = json.load(content)
                continue
            path = place / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            hashed = Hashed(content)
            with path.open("wb") as file:
                while block := hashed.read(BLOCK):
                    file.write(block)
            hashes[entry.name] = hashed.hash.hexdigest()
            on_progress(len(hashes))
    if manifest is None:
        raise BackupFailed(f"{source} is no backup, or cut off")
    if manifest["format"] > FORMAT:
        raise BackupFailed(f"{source} was made by a newer version of Danqing ({manifest['version']})")
    wanted = {name: facts["sha256"] for name, facts in manifest["files"].items()}
    if different := sorted(set(wanted.items()) ^ set(hashes.items())):
        raise BackupFailed(f"{different[0][0]} in {source} is not what was saved; nothing was restored")
    return dict(manifest)


def is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    known = name in (DATABASE, MANIFEST) or path.parts[0] in (FILES, *FOLDERS)
    return known and not path.is_absolute() and ".." not in path.parts


def settle(place: Path, data: Path) -> None:
    """What was compared goes where the studio looks for it."""
    settings = get_settings()
    if settings.database_url:
        fill_database(place / DATABASE)
        (place / DATABASE).unlink()
    if settings.storage_url:
        for path in (path for path in (place / FILES).rglob("*") if path.is_file()):
            get_storage().put_file(path)
        shutil.rmtree(place / FILES, ignore_errors=True)
    if (place / DATABASE).exists():
        os.replace(place / DATABASE, place / settings.sqlite.name)
    data.mkdir(parents=True, exist_ok=True)
    for path in sorted(
        place.iterdir(), key=lambda each: each.is_file()
    ):  # the database last: with it there is a studio
        os.replace(path, data / path.name)


def fill_database(path: Path) -> None:
    """Raises NotCopied where the target is not empty, or refuses a row."""
    source = open_database(URL.create("sqlite", database=str(path)))
    try:
        with refused("the database"):
            with writing(source) as connection:
                upgrade(connection)
            check_empty(engine())
            copy_tables(source, engine())
    finally:
        source.dispose()
