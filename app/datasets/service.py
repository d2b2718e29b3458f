"""Datasets: make, fill, look at, caption, export."""

from __future__ import annotations

import hashlib
import io
import json
import re
import statistics as numbers
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO, TypeVarTuple

from PIL import Image
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database import new_id, session_scope, storage_lock
from app.datasets.archive import Limits, Source, opened
from app.datasets.captions import Captions, from_name, is_caption_file
from app.datasets.looks import fingerprint
from app.datasets.schemas import DatasetChange, DatasetIn, DatasetOut, ImportOut, ItemChange, Refusal, State, Statistics
from app.datasets.tables import Dataset, DatasetItem
from app.errors import Conflict, Invalid, NotFound, UnsupportedMedia
from app.imaging import read_upload
from app.settings import get_settings
from app.storage import get_storage
from app.users.service import Principal

CHUNK = 32  # items a transaction: a reader of SQLite never waits long
KEPT_SIDE = 1024  # training pictures are kept no larger than this
SHOWN_REFUSALS = 100
DECODERS = 2
CAPTION_BYTES = 64 << 20
COMMON_WORDS, COMMON_COLOURS = 30, 12
SMALL_WORDS = frozenset(
    ["a", "an", "the", "of", "in", "on", "at", "to", "and", "or", "with", "for", "by", "from", "is", "are"]
)
Row = TypeVarTuple("Row")


# --- datasets -------------------------------------------------------------------------------------------------------


def create(session: Session, user: Principal | None, wanted: DatasetIn) -> Dataset:
    """Raises Conflict when the name is taken."""
    dataset = Dataset(
        name=wanted.name,
        name_key=wanted.name.casefold(),
        description=wanted.description,
        user_id=user.id if user else None,
    )
    session.add(dataset)
    flush_name(session)
    return dataset


def change(session: Session, dataset: Dataset, wanted: DatasetChange) -> Dataset:
    """Raises Conflict when the name is taken."""
    for name, value in wanted.model_dump(exclude_none=True).items():
        setattr(dataset, name, value)
    dataset.name_key = dataset.name.casefold()
    flush_name(session)
    return dataset


def flush_name(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("There is a dataset of this name already") from error


def get(session: Session, dataset_id: str, lock: bool = False) -> Dataset:
    """`lock`: nobody else changes or deletes it before the transaction ends."""
    dataset = session.get(Dataset, dataset_id, with_for_update=lock)
    if dataset is None:
        raise NotFound("There is no such dataset")
    return dataset


def named(session: Session, name: str) -> Dataset | None:
    return session.scalar(select(Dataset).where(Dataset.name_key == name.casefold()))


def page(session: Session, before: str | None, limit: int) -> tuple[list[DatasetOut], str | None]:
    """(newest first, id that the next page starts after)."""
    query = select(Dataset).order_by(Dataset.id.desc()).limit(limit + 1)
    found = list(session.scalars(query.where(Dataset.id < before) if before else query))
    shown = [described(session, dataset) for dataset in found[:limit]]
    return shown, found[limit - 1].id if len(found) > limit else None


def described(session: Session, dataset: Dataset) -> DatasetOut:
    every, refused = session.execute(
        select(func.count(), func.count(DatasetItem.refusal)).where(DatasetItem.dataset_id == dataset.id)
    ).one()
    return DatasetOut(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description,
        accepted=every - refused,
        refused=refused,
        created_at=dataset.created_at,
    )


def remove(session: Session, dataset: Dataset) -> None:
    """The files go when nothing else names them."""
    session.delete(dataset)


# --- filling --------------------------------------------------------------------------------------------------------


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
    files: Iterable[tuple[str, BinaryIO]],
    on_progress: Callable[[ImportOut], None] = lambda so_far: None,
) -> ImportOut:
    """Add pictures, caption files and zip archives of them; what cannot be used becomes an item with its reason.

    Commits as it goes: what was added before a fault stays, and the same upload again skips it.
    Raises Invalid when an archive as a whole is not acceptable, NotFound when the dataset is (or gets) deleted.
    """
    settings = get_settings()
    limits = Limits(settings.max_archive_entries, settings.max_archive_gib << 30, settings.max_archive_ratio)
    result = ImportOut()
    with ExitStack() as stack, ThreadPoolExecutor(DECODERS) as pool:
        uploads = [stack.enter_context(opened(name, file, limits)) for name, file in files]
        captions, spoilt = read_captions(source for upload in uploads for source in upload())
        pictures = (
            replace(source, refusal=spoilt.get(source.name, source.refusal))
            for upload in uploads
            for source in upload()
            if source.name in spoilt or source.refusal or not is_caption_file(source.name)
        )
        for chunk in chunks(pictures, CHUNK):
            keep(dataset_id, list(pool.map(read_picture, chunk)), captions, result, pool)
            on_progress(result)
    if captions.unused():
        caption_earlier(dataset_id, captions, result)
    return result


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
                    raise Invalid("The captions of one upload may have 64 MiB")
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
                if given and not earlier.caption:
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


def caption_earlier(dataset_id: str, captions: Captions, result: ImportOut) -> None:
    """Give captions that came alone to the pictures of earlier uploads."""
    with session_scope() as session:
        get(session, dataset_id, lock=True)
        query = select(DatasetItem.id, DatasetItem.name, DatasetItem.caption)
        changes = []
        for identifier, name, caption in session.execute(accepted(query, dataset_id)):
            given = captions.find(name)
            if given and given != caption:
                changes.append({"id": identifier, "caption": given})
        if changes:
            session.execute(update(DatasetItem), changes)
        result.captions += len(changes)


# --- items ----------------------------------------------------------------------------------------------------------


def of(dataset_id: str) -> Select[DatasetItem]:
    return select(DatasetItem).where(DatasetItem.dataset_id == dataset_id)


def items(
    session: Session, dataset_id: str, state: State | None, q: str | None, after: str | None, limit: int
) -> tuple[list[DatasetItem], str | None]:
    """(oldest first, id that the next page starts after). Without a state: pictures, not refusals."""
    query = of(dataset_id).order_by(DatasetItem.id).limit(limit + 1)
    query = query.where(DatasetItem.refusal.is_not(None) if state == "refused" else DatasetItem.refusal.is_(None))
    if state == "similar":
        query = query.where(DatasetItem.similar_to.is_not(None))
    if state == "uncaptioned":
        query = query.where(DatasetItem.caption == "")
    for word in (q or "").split():
        query = query.where(DatasetItem.caption.icontains(word, autoescape=True))
    found = list(session.scalars(query.where(DatasetItem.id > after) if after else query))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def item(session: Session, dataset_id: str, item_id: str) -> DatasetItem:
    found = session.get(DatasetItem, item_id)
    if found is None or found.dataset_id != dataset_id:
        raise NotFound("There is no such item")
    return found


def change_item(found: DatasetItem, wanted: ItemChange) -> DatasetItem:
    """Raises Conflict for an item that was refused: it has no picture to caption."""
    if found.refusal is not None:
        raise Conflict("This file was refused; there is no picture to caption")
    found.caption = wanted.caption
    return found


def content(found: DatasetItem) -> bytes:
    try:
        if found.sha256 is None:
            raise FileNotFoundError
        return get_storage().get(found.sha256)
    except FileNotFoundError as error:
        raise NotFound("The file of this item is missing") from error


# --- the whole ------------------------------------------------------------------------------------------------------


def accepted(query: Select[*Row], dataset_id: str) -> Select[*Row]:
    """Narrow a query to the pictures of a dataset, in the order of their content."""
    return query.where(DatasetItem.dataset_id == dataset_id, DatasetItem.refusal.is_(None)).order_by(DatasetItem.sha256)


def version(session: Session, dataset_id: str) -> str:
    """SHA-256 over the pictures and captions, in an order that does not depend on how they came."""
    digest = hashlib.sha256()
    for sha256, caption in session.execute(accepted(select(DatasetItem.sha256, DatasetItem.caption), dataset_id)):
        digest.update(f"{sha256}\t{caption}\n".encode())
    return digest.hexdigest()


def statistics(session: Session, dataset: Dataset) -> Statistics:
    """Reads every row once: some tenths of a second for 100,000 pictures."""
    sides, words, colours = list[int](), Counter[str](), Counter[str]()
    captioned = similar = size = 0
    query = select(
        DatasetItem.width,
        DatasetItem.height,
        DatasetItem.size_bytes,
        DatasetItem.caption,
        DatasetItem.colour,
        DatasetItem.similar_to,
    )
    for width, height, size_bytes, caption, colour, twin in session.execute(accepted(query, dataset.id)):
        sides.append(max(width or 0, height or 0))
        size += size_bytes
        captioned += bool(caption)
        similar += twin is not None
        words.update(
            {w.strip(".;:!?。；：！？") for w in re.split(r"[\s,，、]+", caption.casefold())} - SMALL_WORDS - {""}
        )
        colours[coarse(colour or "ffffff")] += 1
    counts = described(session, dataset)
    return Statistics(
        accepted=counts.accepted,
        refused=counts.refused,
        similar=similar,
        captioned=captioned,
        bytes=size,
        smallest=min(sides, default=None),
        median=round(numbers.median(sides)) if sides else None,
        largest=max(sides, default=None),
        words=words.most_common(COMMON_WORDS),
        colours=colours.most_common(COMMON_COLOURS),
        version=version(session, dataset.id),
    )


def coarse(colour: str) -> str:
    """RRGGBB to the nearest of six steps a channel."""
    return "".join(f"{min(255, round(int(colour[i : i + 2], 16) / 51) * 51):02x}" for i in (0, 2, 4))


def export(dataset: Dataset) -> Iterator[bytes]:
    """A zip in the imagefolder convention, as it is made: pictures, `metadata.jsonl` and `dataset.json`."""
    with session_scope(writing=False) as session:
        rows = list(session.execute(accepted(select(DatasetItem.sha256, DatasetItem.caption), dataset.id)))
        card = {"name": dataset.name, "description": dataset.description, "version": version(session, dataset.id)}
    buffer = Growing()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        lines = []
        for digest, caption in rows:
            with suppress(FileNotFoundError):
                assert digest is not None  # accepted items have pictures
                archive.writestr(f"{digest}.png", get_storage().get(digest))
                lines.append(json.dumps({"file_name": f"{digest}.png", "text": caption}, ensure_ascii=False))
            yield buffer.take()
        archive.writestr("metadata.jsonl", "".join(f"{line}\n" for line in lines), zipfile.ZIP_DEFLATED)
        archive.writestr("dataset.json", json.dumps(card, ensure_ascii=False, indent=1))
    yield buffer.take()


class Growing(io.RawIOBase):
    """A file that is only written to, in order, and handed on piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)
