"""Fills datasets: files of their kind, captions and zip archives of them, each kept or refused with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.database import new_id, session_scope, storage_lock
from app.datasets.archive import Source, clean_name, is_archive, opened
from app.datasets.captions import Captions, from_name, is_caption_file
from app.datasets.schemas import ImportOut, Refusal
from app.datasets.service import accepted, get, of
from app.datasets.tables import DatasetItem
from app.errors import Invalid, UnsupportedMedia
from app.media import MEDIA, Kept, Medium
from app.settings import get_settings
from app.storage import get_storage
from app.zips import Limits
from models.contract.message import Message

if TYPE_CHECKING:
    from app.datasets.near import Near

# Items and bytes a transaction: a reader of SQLite never waits long, and no more is in memory.
CHUNK, CHUNK_BYTES = 32, 64 << 20
SHOWN_REFUSALS = 100
DECODERS = 2
CAPTION_BYTES = 32 << 20
UNUSED = Message("No file has this name: its caption was not used")
NOTHING = Message("Nothing in it could be taken: it holds no files but what systems leave behind")
Listing = Callable[[], Iterator[Source]]


@dataclass
class File:
    """A file that was read: `kept`, or refused."""

    source: Source
    kept: Kept | None = None
    refusal: Message | None = None
    digest: str = ""

    def item(self, dataset_id: str, caption: str | None) -> DatasetItem:
        assert self.kept is not None
        return DatasetItem(
            id=new_id(),
            dataset_id=dataset_id,
            name=self.source.name,
            media_type=self.kept.media_type,
            sha256=self.digest,
            width=self.kept.width,
            height=self.kept.height,
            size_bytes=len(self.kept.content),
            caption=from_name(self.source.name) if caption is None else caption,
            fingerprint=self.kept.fingerprint,
            colour=self.kept.colour,
            facts=self.kept.facts,
        )


def add_files(
    dataset_id: str,
    files: Sequence[tuple[str, BinaryIO]],
    on_progress: Callable[[ImportOut], None] = lambda so_far: None,
) -> ImportOut:
    """Add files of the dataset's kind, captions, and zip archives; what is refused becomes an item with its reason.

    Commits as it goes: what was added before a fault stays, and the same upload again skips it. A caption goes to the
    files of its own archive (or of the loose files), or of earlier uploads; it never replaces one that was written.
    Raises Invalid when the only file is an archive that is not acceptable, NotFound when the dataset is deleted.
    """
    with session_scope(writing=False) as session:
        kind = MEDIA[get(session, dataset_id).kind]
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
                loose.append(partial(one_refused, name, error.message))
                continue
            if is_archive(name, file):
                groups.append([listing])
            else:
                loose.append(listing)
        for group in [*groups, loose]:
            add_group(dataset_id, kind, group, result, pool, on_progress)
    if files and not (
        result.accepted or result.repeated or result.refused or result.captions or result.captions_unused
    ):
        remark(result, clean_name(files[0][0]), NOTHING)
    return result


def remark(result: ImportOut, name: str, reason: Message) -> None:
    if len(result.remarks) < SHOWN_REFUSALS:
        result.remarks.append(Refusal(name=name, reason=reason))


def one_refused(name: str, reason: Message) -> Iterator[Source]:
    yield Source(clean_name(name), 0, lambda most: b"", reason)


def add_group(
    dataset_id: str,
    kind: Medium,
    group: list[Listing],
    result: ImportOut,
    pool: Executor,
    on_progress: Callable[[ImportOut], None],
) -> None:
    """Files that share their captions."""
    near = near_of(dataset_id) if kind.name == "pictures" else None
    captions, spoilt = read_captions(kind, (source for listing in group for source in listing()))
    works = (
        replace(source, refusal=spoilt.get(source.name, source.refusal))
        for listing in group
        for whole in listing()
        for source in ([whole] if whole.refusal else rows_of(kind, whole))
        if source.name in spoilt or source.refusal or not is_caption_file(source.name, kind.sidecars)
    )
    for chunk in chunks(works):
        keep(dataset_id, list(pool.map(partial(read_file, kind), chunk)), captions, result, near)
        on_progress(result)
    left = list[str]()
    if unused := captions.unused():
        caption_earlier(dataset_id, unused, result)
        left = unused.unused().names()
        result.captions_unused += len(left)
        for name in left:
            remark(result, name, UNUSED)
    for name, reason in captions.cut.items():
        remark(result, name, reason)
    if left or captions.cut:
        on_progress(result)


def chunks(sources: Iterable[Source]) -> Iterator[list[Source]]:
    chunk, size = list[Source](), 0
    for source in sources:
        if chunk and (len(chunk) == CHUNK or size + source.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(source)
        size += source.size
    if chunk:
        yield chunk


def rows_of(kind: Medium, source: Source) -> Iterator[Source]:
    """A file that holds several works as one source a work; any other file as it is."""
    tables, suffix = kind.tables, suffix_of(source.name)
    if tables is None or suffix not in tables.suffixes:
        yield source
        return
    try:
        number = 0
        for number, row in enumerate(tables.rows(read_table(source), suffix), 1):
            name = f"{source.name}#{number}{tables.suffix}"
            yield Source(name, len(row.content), partial(beginning, row.content), row.refusal, row.title)
        if number == 0:
            yield source  # of captions
    except Invalid as error:
        yield replace(source, refusal=error.message)


def suffix_of(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def beginning(text: bytes, most: int) -> bytes:
    return text[:most]


def read_table(source: Source) -> bytes:
    content = source.read(CAPTION_BYTES + 1)
    if len(content) > CAPTION_BYTES:
        raise Invalid("A table may have at most {mebibytes} MiB", mebibytes=CAPTION_BYTES >> 20)
    return content


def read_captions(kind: Medium, found: Iterable[Source]) -> tuple[Captions, dict[str, Message]]:
    """(captions, reasons by name of the caption files that could not be read)."""
    captions, spoilt, room = Captions(), dict[str, Message](), CAPTION_BYTES
    for source in found:
        if source.refusal is None and is_caption_file(source.name, kind.sidecars):
            try:
                content = source.read(room + 1)
                if len(content) > room:
                    raise Invalid("Captions in one upload may total at most 32 MiB")
                if not kind.sidecars and kind.tables and next(kind.tables.rows(content, suffix_of(source.name)), None):
                    continue  # works, not captions
                captions.add(source.name, content)
                room -= len(content)
            except Invalid as error:
                spoilt[source.name] = error.message
    return captions, spoilt


def read_file(kind: Medium, source: Source) -> File:
    most = kind.most_bytes()
    if source.refusal:
        return File(source, refusal=source.refusal)
    try:
        content = source.read(most + 1)
        if len(content) > most:
            return File(source, refusal=Message("It is larger than {mebibytes} MiB", mebibytes=most >> 20))
        kept = kind.read(content, source.name)
    except (Invalid, UnsupportedMedia) as error:
        return File(source, refusal=error.message)
    return File(source, kept, digest=hashlib.sha256(kept.content).hexdigest())


def near_of(dataset_id: str) -> Near:
    """What the pictures of a dataset look like, but for those that look like earlier ones."""
    from app.datasets.near import Near  # it needs numpy: a web process that imports nothing does without

    near = Near()
    columns = select(DatasetItem.id, DatasetItem.fingerprint, DatasetItem.colour, DatasetItem.sha256)
    with session_scope(writing=False) as session:
        for row in session.execute(accepted(columns.where(DatasetItem.similar_to.is_(None)), dataset_id)):
            if row.fingerprint and row.colour and row.sha256:
                near.add(row.id, row.fingerprint, row.colour, row.sha256)
    return near


def likeness(near: Near, kept: Kept) -> str | None:
    with suppress(FileNotFoundError):  # a file that was lost looks like nothing
        return near.find(kept.fingerprint, kept.colour or "", kept.content)
    return None


def keep(dataset_id: str, files: list[File], captions: Captions, result: ImportOut, near: Near | None) -> None:
    """Files into the storage, before the transaction: others write meanwhile. Then rows into the database."""
    readable = {file.digest: file for file in files if file.kept}
    with session_scope(writing=False) as session:
        known = known_items(session, dataset_id, readable)
    stored = {digest: file.kept for digest, file in readable.items() if digest not in known and file.kept}
    get_storage().put_all([kept.content for kept in stored.values()])
    with session_scope() as session:
        storage_lock(session)
        get(session, dataset_id, lock=True)
        known = known_items(session, dataset_id, readable)
        fresh = {digest: file.kept for digest, file in readable.items() if digest not in known and file.kept}
        for digest in fresh.keys() - stored.keys():  # an item was deleted since
            get_storage().put(fresh[digest].content)
        first = first_alike(session, dataset_id, {kept.fingerprint for kept in fresh.values()})
        refuse(session, dataset_id, [file for file in files if file.refusal is not None], result)
        for file in files:
            if file.kept is None:
                continue
            given = captions.find(file.source.name) if file.source.caption is None else file.source.caption
            if (earlier := known.get(file.digest)) is not None:
                result.repeated += 1
                if earlier.name != file.source.name and len(result.repeats) < SHOWN_REFUSALS:
                    result.repeats.append(
                        Refusal(
                            name=file.source.name, reason=Message("It is already there, as {name}", name=earlier.name)
                        )
                    )
                if given and may_replace(earlier.name, earlier.caption) and given != earlier.caption:
                    earlier.caption = given
                    result.captions += 1
                continue
            item = file.item(dataset_id, given)
            item.similar_to = first.get(file.kept.fingerprint) or (likeness(near, file.kept) if near else None)
            first.setdefault(file.kept.fingerprint, item.similar_to or item.id)
            if near and item.similar_to is None:
                near.add(item.id, file.kept.fingerprint, file.kept.colour or "", file.digest)
            session.add(item)
            known[file.digest] = item
            result.accepted += 1
            if file.kept.remark:
                remark(result, file.source.name, file.kept.remark)


def known_items(session: Session, dataset_id: str, digests: Collection[str]) -> dict[str | None, DatasetItem]:
    query = of(dataset_id).where(DatasetItem.sha256.in_(digests))
    return {item.sha256: item for item in session.scalars(query)}


def first_alike(session: Session, dataset_id: str, fingerprints: set[str]) -> dict[str, str]:
    """Of each of these fingerprints the earliest item, or the one that it is like."""
    earliest = func.min(func.coalesce(DatasetItem.similar_to, DatasetItem.id))
    query = select(DatasetItem.fingerprint, earliest).group_by(DatasetItem.fingerprint)
    query = query.where(DatasetItem.dataset_id == dataset_id, DatasetItem.fingerprint.in_(fingerprints))
    return {fingerprint: item for fingerprint, item in session.execute(query) if fingerprint}


def refuse(session: Session, dataset_id: str, refused: list[File], result: ImportOut) -> None:
    """Keep the reasons, each once however often the same file is sent."""
    if not refused:
        return
    result.refused += len(refused)
    reasons = {file.source.name: file for file in refused}
    session.execute(
        delete(DatasetItem).where(
            DatasetItem.dataset_id == dataset_id,
            DatasetItem.name.in_(reasons.keys()),
            DatasetItem.refusal.is_not(None),
        )
    )
    for name, file in reasons.items():
        reason = file.refusal or Message()
        if len(result.refusals) < SHOWN_REFUSALS:
            result.refusals.append(Refusal(name=name, reason=reason))
        session.add(DatasetItem(dataset_id=dataset_id, name=name, size_bytes=file.source.size, refusal=reason))


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
