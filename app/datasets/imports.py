"""Fills datasets: pictures, caption files and zip archives of them, each kept or refused with its reason."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import BinaryIO

from PIL import Image
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.database import new_id, session_scope, storage_lock
from app.datasets.archive import Limits, Source, clean_name, is_zip, opened
from app.datasets.captions import Captions, from_name, is_caption_file
from app.datasets.looks import fingerprint
from app.datasets.schemas import ImportOut, Refusal
from app.datasets.service import accepted, get, of
from app.datasets.tables import DatasetItem
from app.errors import Invalid, UnsupportedMedia
from app.imaging import read_upload
from app.settings import get_settings
from app.storage import get_storage

CHUNK = 32  # items a transaction: a reader of SQLite never waits long
KEPT_SIDE = 1024  # training pictures are kept no larger than this
SHOWN_REFUSALS = 100
DECODERS = 2
CAPTION_BYTES = 32 << 20
Listing = Callable[[], Iterator[Source]]


@dataclass
class Picture:
    """A file that was read: kept as `png`, or refused."""

    source: Source
    refusal: str | None = None
    png: bytes = b""
    width: int = 0
    height: int = 0
    digest: str = ""
    fingerprint: str = ""
    colour: str = ""

    def item(self, dataset_id: str, caption: str | None) -> DatasetItem:
        return DatasetItem(
            id=new_id(),
            dataset_id=dataset_id,
            name=self.source.name,
            sha256=self.digest,
            width=self.width,
            height=self.height,
            size_bytes=len(self.png),
            caption=from_name(self.source.name) if caption is None else caption,
            fingerprint=self.fingerprint,
            colour=self.colour,
        )


def add_files(
    dataset_id: str,
    files: Sequence[tuple[str, BinaryIO]],
    on_progress: Callable[[ImportOut], None] = lambda so_far: None,
) -> ImportOut:
    """Add pictures, caption files and zip archives of them; what cannot be used becomes an item with its reason.

    Commits as it goes: what was added before a fault stays, and the same upload again skips it. A caption goes to the
    pictures of its own archive (or of the loose files), or of earlier uploads; it never replaces one that was written.
    Raises Invalid when the only file is an archive that is not acceptable, NotFound when the dataset is deleted.
    """
    settings = get_settings()
    limits = Limits(settings.max_archive_entries, settings.max_archive_gib << 30, settings.max_archive_ratio)
    result, groups, loose = ImportOut(), list[list[Listing]](), list[Listing]()
    with ExitStack() as stack, ThreadPoolExecutor(DECODERS) as pool:
        for name, file in files:
            try:
                listing = stack.enter_context(opened(name, file, limits))
            except Invalid as error:
                if len(files) == 1:
                    raise
                loose.append(partial(one_refused, name, error.detail))
                continue
            if is_zip(file):
                groups.append([listing])
            else:
                loose.append(listing)
        for group in [*groups, loose]:
            add_group(dataset_id, group, result, pool, on_progress)
    return result


def one_refused(name: str, reason: str) -> Iterator[Source]:
    yield Source(clean_name(name), 0, lambda most: b"", reason)


def add_group(
    dataset_id: str,
    group: list[Listing],
    result: ImportOut,
    pool: Executor,
    on_progress: Callable[[ImportOut], None],
) -> None:
    """Files that share their captions."""
    captions, spoilt = read_captions(source for listing in group for source in listing())
    pictures = (
        replace(source, refusal=spoilt.get(source.name, source.refusal))
        for listing in group
        for source in listing()
        if source.name in spoilt or source.refusal or not is_caption_file(source.name)
    )
    for chunk in chunks(pictures, CHUNK):
        keep(dataset_id, list(pool.map(read_picture, chunk)), captions, result, pool)
        on_progress(result)
    if unused := captions.unused():
        caption_earlier(dataset_id, unused, result)


def chunks(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    every = iter(sources)
    while chunk := list(islice(every, size)):
        yield chunk


def read_captions(found: Iterable[Source]) -> tuple[Captions, dict[str, str]]:
    """(captions, reasons by name of the caption files that could not be read)."""
    captions, spoilt, room = Captions(), dict[str, str](), CAPTION_BYTES
    for source in found:
        if source.refusal is None and is_caption_file(source.name):
            try:
                content = source.read(room + 1)
                if len(content) > room:
                    raise Invalid("The captions of one upload may have 32 MiB")
                captions.add(source.name, content)
                room -= len(content)
            except Invalid as error:
                spoilt[source.name] = error.detail
    return captions, spoilt


def read_picture(source: Source) -> Picture:
    most = get_settings().max_upload_mib << 20
    if source.refusal:
        return Picture(source, source.refusal)
    try:
        content = source.read(most + 1)
        if len(content) > most:
            return Picture(source, f"It is larger than {get_settings().max_upload_mib} MiB")
        png, width, height = read_upload(content, KEPT_SIDE)
    except (Invalid, UnsupportedMedia) as error:
        return Picture(source, error.detail)
    looks, colour = fingerprint(Image.open(io.BytesIO(png)))
    digest = hashlib.sha256(png).hexdigest()
    return Picture(source, None, png, width, height, digest, looks, colour)


def keep(dataset_id: str, pictures: list[Picture], captions: Captions, result: ImportOut, pool: Executor) -> None:
    """One transaction: files into the storage, rows into the database."""
    with session_scope() as session:
        storage_lock(session)
        get(session, dataset_id, lock=True)
        readable = {picture.digest: picture for picture in pictures if picture.refusal is None}
        known = {
            item.sha256: item for item in session.scalars(of(dataset_id).where(DatasetItem.sha256.in_(readable.keys())))
        }
        fresh = {digest: picture for digest, picture in readable.items() if digest not in known}
        list(pool.map(get_storage().put, [picture.png for picture in fresh.values()]))
        first = first_alike(session, dataset_id, {picture.fingerprint for picture in fresh.values()})
        refuse(session, dataset_id, [picture for picture in pictures if picture.refusal is not None], result)
        for picture in pictures:
            if picture.refusal is not None:
                continue
            given = captions.find(picture.source.name)
            if (earlier := known.get(picture.digest)) is not None:
                result.repeated += 1
                if given and may_replace(earlier.name, earlier.caption) and given != earlier.caption:
                    earlier.caption = given
                    result.captions += 1
                continue
            item = picture.item(dataset_id, given)
            item.similar_to = first.setdefault(picture.fingerprint, item.id)
            if item.similar_to == item.id:
                item.similar_to = None
            session.add(item)
            known[picture.digest] = item
            result.accepted += 1


def first_alike(session: Session, dataset_id: str, fingerprints: set[str]) -> dict[str, str]:
    """The earliest item with each of these fingerprints."""
    query = select(DatasetItem.fingerprint, func.min(DatasetItem.id)).group_by(DatasetItem.fingerprint)
    query = query.where(DatasetItem.dataset_id == dataset_id, DatasetItem.fingerprint.in_(fingerprints))
    return {fingerprint: item for fingerprint, item in session.execute(query) if fingerprint}


def refuse(session: Session, dataset_id: str, refused: list[Picture], result: ImportOut) -> None:
    """Keep the reasons, each once however often the same file is sent."""
    if not refused:
        return
    result.refused += len(refused)
    reasons = {picture.source.name: picture for picture in refused}
    session.execute(
        delete(DatasetItem).where(
            DatasetItem.dataset_id == dataset_id,
            DatasetItem.name.in_(reasons.keys()),
            DatasetItem.refusal.is_not(None),
        )
    )
    for name, picture in reasons.items():
        reason = picture.refusal or ""
        if len(result.refusals) < SHOWN_REFUSALS:
            result.refusals.append(Refusal(name=name, reason=reason))
        session.add(DatasetItem(dataset_id=dataset_id, name=name, size_bytes=picture.source.size, refusal=reason))


def may_replace(name: str, caption: str) -> bool:
    """Nobody wrote this caption: there is none, or it was taken from the file's name."""
    return caption in ("", from_name(name))


def caption_earlier(dataset_id: str, captions: Captions, result: ImportOut) -> None:
    """Give captions that found no picture in their own upload to those of earlier ones."""
    with session_scope() as session:
        get(session, dataset_id, lock=True)
        query = select(DatasetItem.id, DatasetItem.name, DatasetItem.caption)
        changes = []
        for identifier, name, caption in session.execute(accepted(query, dataset_id)):
            given = captions.find(name)
            if given and given != caption and may_replace(name, caption):
                changes.append({"id": identifier, "caption": given})
        if changes:
            session.execute(update(DatasetItem), changes)
        result.captions += len(changes)
