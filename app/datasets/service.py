"""Datasets: make, look at, caption, measure, export. `imports` fills them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import statistics as numbers
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVarTuple

from PIL import Image
from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session
from zipstream import ZIP_DEFLATED, ZipStream

from app.database import session_scope
from app.datasets.labels import labelled, place
from app.datasets.schemas import (
    LONGEST_CAPTION,
    DatasetChange,
    DatasetIn,
    DatasetOut,
    ItemChange,
    ItemSelection,
    ItemSelectionOut,
    State,
    Statistics,
)
from app.datasets.tables import Dataset, DatasetItem
from app.errors import Conflict, Damaged, Invalid, NotFound
from app.media import MEDIA, suffix_of
from app.media.looks import palette
from app.media.previews import cached_preview
from app.media.rows import tidy
from app.security import Principal
from app.storage import get_storage
from app.text import folded

COMMON_WORDS, COMMON_COLOURS = 30, 12
LOOKED_AT = 32  # pictures for their colours
SMALL_WORDS = frozenset(
    ["a", "an", "the", "of", "in", "on", "at", "to", "and", "or", "with", "for", "by", "from", "is", "are"]
)
Row = TypeVarTuple("Row")


# --- datasets -------------------------------------------------------------------------------------------------------


def create(session: Session, user: Principal | None, wanted: DatasetIn) -> Dataset:
    """Raises Conflict when the name is taken."""
    dataset = Dataset(
        name=wanted.name,
        name_key=folded(wanted.name),
        description=wanted.description,
        kind=wanted.kind,
        visibility=wanted.visibility,
        user_id=user.id if user else None,
    )
    session.add(dataset)
    flush_name(session)
    return dataset


def change(session: Session, dataset: Dataset, wanted: DatasetChange) -> Dataset:
    """Raises Conflict when the name is taken."""
    for name, value in wanted.model_dump(exclude_none=True).items():
        setattr(dataset, name, value)
    dataset.name_key = folded(dataset.name)
    flush_name(session)
    return dataset


def flush_name(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("There is already a dataset with this name") from error


def get(session: Session, dataset_id: str, lock: bool = False) -> Dataset:
    """`lock`: nobody else changes or deletes it before the transaction ends."""
    dataset = session.get(Dataset, dataset_id, with_for_update=lock)
    if dataset is None:
        raise NotFound("There is no such dataset")
    return dataset


def seen(session: Session, user: Principal, dataset_id: str) -> Dataset:
    """One that the user may look into."""
    dataset = get(session, dataset_id)
    if not (user.is_admin or dataset.visibility == "studio"):
        raise NotFound("There is no such dataset")
    return dataset


def shared(session: Session) -> list[Dataset]:
    """By name."""
    return list(session.scalars(select(Dataset).where(Dataset.visibility == "studio").order_by(Dataset.name_key)))


def named(session: Session, name: str) -> Dataset | None:
    return session.scalar(select(Dataset).where(Dataset.name_key == folded(name)))


def page(session: Session, before: str | None, limit: int, *, everything: bool) -> tuple[list[DatasetOut], str | None]:
    """(newest first, id that the next page starts after): all, or those that are shown in the studio."""
    query = select(Dataset).order_by(Dataset.id.desc()).limit(limit + 1)
    if not everything:
        query = query.where(Dataset.visibility == "studio")
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
        kind=dataset.kind,
        visibility=dataset.visibility,
        accepted=every - refused,
        refused=refused,
        created_at=dataset.created_at,
    )


def remove(session: Session, dataset: Dataset) -> None:
    """The files go when nothing else names them."""
    session.delete(dataset)


# --- items ----------------------------------------------------------------------------------------------------------


def of(dataset_id: str) -> Select[DatasetItem]:
    return select(DatasetItem).where(DatasetItem.dataset_id == dataset_id)


def items(
    session: Session, dataset_id: str, state: State | None, q: str | None, after: str | None, limit: int
) -> tuple[list[DatasetItem], str | None]:
    """(oldest first, id that the next page starts after). Without a state: what was kept, not refusals.

    `similar` are those that look alike, each behind the earliest that it is like.
    """
    query = of(dataset_id).limit(limit + 1)
    query = query.where(DatasetItem.refusal.is_not(None) if state == "refused" else DatasetItem.refusal.is_(None))
    order: list[ColumnElement[str] | InstrumentedAttribute[str]] = [DatasetItem.id]
    if state == "similar":
        earliest = select(DatasetItem.similar_to).where(DatasetItem.dataset_id == dataset_id)
        query = query.where(DatasetItem.similar_to.is_not(None) | DatasetItem.id.in_(earliest))
        order = [func.coalesce(DatasetItem.similar_to, DatasetItem.id), DatasetItem.id]
    if state == "uncaptioned":
        query = query.where(DatasetItem.caption == "")
    for word in (q or "").split():
        texts = DatasetItem.caption, DatasetItem.name
        query = query.where(or_(*(text.icontains(word, autoescape=True) for text in texts)))
    if after:
        last = session.get(DatasetItem, after) if state == "similar" else None
        place = [last.similar_to or after, after] if last else [after] * len(order)
        query = query.where(tuple_(*order) > tuple_(*place))
    found = list(session.scalars(query.order_by(*order)))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def item(session: Session, dataset_id: str, item_id: str, lock: bool = False) -> DatasetItem:
    """`lock`: no upload and nobody else changes the dataset before the transaction ends."""
    if lock:
        get(session, dataset_id, lock=True)
    found = session.get(DatasetItem, item_id)
    if found is None or found.dataset_id != dataset_id:
        raise NotFound("There is no such item")
    return found


def change_item(found: DatasetItem, wanted: ItemChange) -> DatasetItem:
    """Raises Conflict for an item that was refused: it has nothing to caption."""
    if found.refusal is not None:
        raise Conflict("This file was refused; there is nothing to caption")
    found.caption = tidy(wanted.caption)
    return found


def change_items(session: Session, dataset: Dataset, wanted: ItemSelection) -> ItemSelectionOut:
    """What is not there, or was refused, is named, and changes nothing of the rest. Raises Invalid for a caption that
    would be too long, and then nothing is changed.
    """
    rows = of(dataset.id).where(DatasetItem.id.in_(wanted.ids), DatasetItem.refusal.is_(None))
    found = {row.id: row for row in session.scalars(rows)}
    changed = 0
    for row in found.values():
        if wanted.action == "delete":
            remove_item(session, row)
            changed += 1
            continue
        given = wanted.caption_of(row.caption)
        if len(given) > LONGEST_CAPTION:
            raise Invalid(
                "The caption of {name} would have more than {most} characters", name=row.name, most=LONGEST_CAPTION
            )
        caption = tidy(given)
        changed += caption != row.caption
        row.caption = caption
    return ItemSelectionOut(changed=changed, missing=[each for each in wanted.ids if each not in found])


def remove_item(session: Session, found: DatasetItem) -> None:
    """What looks like the deleted one looks, from now on, like the earliest that is left."""
    alike = list(
        session.scalars(select(DatasetItem).where(DatasetItem.similar_to == found.id).order_by(DatasetItem.id))
    )
    for item in alike:
        item.similar_to = alike[0].id if item is not alike[0] else None
    session.delete(found)


def content(found: DatasetItem) -> bytes:
    try:
        if found.sha256 is None:
            raise FileNotFoundError
        return get_storage().get(found.sha256)
    except FileNotFoundError as error:
        raise NotFound("The file of this item is missing") from error


def poster(found: DatasetItem, kind: str) -> bytes:
    """A picture of the item. Raises NotFound where its kind has none."""
    picture = MEDIA[kind].poster
    if picture is None or found.sha256 is None:
        raise NotFound("There is no picture of this item")
    return picture(content(found), found.media_type)


# --- the whole ------------------------------------------------------------------------------------------------------


def accepted(query: Select[*Row], dataset_id: str) -> Select[*Row]:
    """Narrow a query to what a dataset keeps, in the order of their content."""
    return query.where(DatasetItem.dataset_id == dataset_id, DatasetItem.refusal.is_(None)).order_by(DatasetItem.sha256)


def has_pairs(session: Session, dataset_id: str) -> bool:
    """Whether something is in several styles, as far as folders and names say."""
    rows = session.execute(accepted(select(DatasetItem.sha256, DatasetItem.name), dataset_id))
    styles, concepts = labelled({str(row.sha256): row.name for row in rows})
    return any(styles.values()) and len(set(concepts.values())) < len(concepts)


def version(session: Session, dataset_id: str) -> str:
    """SHA-256 over files, captions, folders and names, in an order that does not depend on how they came."""
    digest = hashlib.sha256()
    columns = select(DatasetItem.sha256, DatasetItem.caption, DatasetItem.name)
    for sha256, caption, name in session.execute(accepted(columns, dataset_id)):
        digest.update(f"{sha256}\t{caption}\t{'/'.join(place(name))}\n".encode())
    return digest.hexdigest()


def statistics(session: Session, dataset: Dataset) -> Statistics:
    """Reads every row once: some tenths of a second for 100,000 items."""
    kind = MEDIA[dataset.kind]
    extents, words, totals = list[int](), Counter[str](), Counter[str]()
    captioned = similar = size = 0
    query = select(
        DatasetItem.width,
        DatasetItem.height,
        DatasetItem.size_bytes,
        DatasetItem.caption,
        DatasetItem.similar_to,
        DatasetItem.facts,
    )
    for width, height, size_bytes, caption, twin, facts in session.execute(accepted(query, dataset.id)):
        extents.append(round(facts.get(kind.extent, 0)) if kind.extent else max(width or 0, height or 0))
        totals.update({name: facts.get(name, 0) for name in kind.totals})
        size += size_bytes
        captioned += bool(caption)
        similar += twin is not None
        found = {w.strip(".;:!?。；：！？") for w in re.split(r"[\s,，、]+", folded(caption))} - SMALL_WORDS
        words.update(word for word in found if any(unicodedata.category(c)[0] in "LMN" for c in word))
    counts = described(session, dataset)
    return Statistics(
        accepted=counts.accepted,
        refused=counts.refused,
        similar=similar,
        captioned=captioned,
        bytes=size,
        unit=kind.unit,
        smallest=min(extents, default=None),
        median=round(numbers.median(extents)) if extents else None,
        largest=max(extents, default=None),
        totals={name: round(value, 1) for name, value in totals.items()},
        words=words.most_common(COMMON_WORDS),
        colours=colours_of(session, dataset, counts.accepted),
        version=version(session, dataset.id),
    )


def colours_of(session: Session, dataset: Dataset, count: int) -> list[tuple[str, int]]:
    """Of some of its pictures, spread over all, as their small previews show them."""
    if not MEDIA[dataset.kind].is_own_poster:
        return []
    query = accepted(select(DatasetItem), dataset.id)
    every = max(1, count // LOOKED_AT)
    found = [item for i in range(0, count, every) for item in session.scalars(query.offset(i).limit(1))][:LOOKED_AT]
    return palette((picture for item in found if (picture := small_picture(item, dataset.kind))), COMMON_COLOURS)


def small_picture(found: DatasetItem, kind: str) -> Image.Image | None:
    """None where its file is missing or broken."""
    try:
        return Image.open(io.BytesIO(cached_preview(found.sha256 or "", 128, lambda: poster(found, kind))))
    except (Damaged, NotFound):
        return None


def export(dataset: Dataset) -> Iterator[bytes]:
    """A zip in the imagefolder convention, as it is made: the files, `metadata.jsonl` and `dataset.json`.

    Files keep their names and their folders, which are labels (see `labels`); where several have one name, a part of
    the digest follows each: a name that is not one thing's alone aligns nothing, here or where it is imported.

    Raises NotFound where a file is gone; a storage that says so late ends the zip before its end.
    """
    with session_scope(writing=False) as session:
        columns = select(DatasetItem.sha256, DatasetItem.caption, DatasetItem.media_type, DatasetItem.name)
        rows = list(session.execute(accepted(columns, dataset.id)))
        card = {"name": dataset.name, "description": dataset.description, "kind": dataset.kind}
        card["version"] = version(session, dataset.id)
    if lost := get_storage().missing(row.sha256 for row in rows):
        name = next(row.name for row in rows if row.sha256 == lost)
        raise NotFound("The file of {name} is gone: delete that item, and the rest can be exported", name=name)
    return zipped_items(rows, card)


def zipped_items(rows: Sequence[Any], card: dict[str, Any]) -> Iterator[bytes]:
    """`rows`: (digest, caption, media type, name)."""
    zipped, lines = ZipStream(), []
    names = ["/".join(place(original)).removeprefix("/") for *_, original in rows]
    uses = Counter(folded(name) for name in names)
    for name, (digest, caption, media_type, _) in zip(names, rows, strict=True):
        name = f"{name} {digest[:12]}" if uses[folded(name)] > 1 else name
        name += suffix_of(media_type)
        zipped.add(get_storage().get(digest), name)
        lines.append(json.dumps({"file_name": name, "text": caption}, ensure_ascii=False))
        yield from zipped.file()
    zipped.add("".join(f"{line}\n" for line in lines), "metadata.jsonl", compress_type=ZIP_DEFLATED)
    zipped.add(json.dumps(card, ensure_ascii=False, indent=1), "dataset.json")
    yield from zipped
