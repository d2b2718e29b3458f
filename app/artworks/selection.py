"""Many works at once: trash, restore, tag, favour, and all in one zip."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload
from zipstream import ZipStream

from app.artworks import service
from app.artworks.schemas import ArtworkChange, Selection, SelectionOut
from app.artworks.tables import Artwork
from app.errors import NotFound
from app.media import suffix_of
from app.security import Principal
from app.storage import get_storage

MOST_TAGS = 30
CHANGES: dict[str, Callable[[Artwork, list[str]], object]] = {
    "trash": lambda work, tags: service.trash(work),
    "restore": lambda work, tags: service.restore(work),
    "favourite": lambda work, tags: service.change(work, ArtworkChange(favourite=True)),
    "unfavourite": lambda work, tags: service.change(work, ArtworkChange(favourite=False)),
    "tag": lambda work, tags: retag(work, [*work.tags, *tags]),
    "untag": lambda work, tags: retag(work, [tag for tag in work.tags if tag not in tags]),
}


def retag(work: Artwork, tags: list[str]) -> None:
    service.change(work, ArtworkChange(tags=list(dict.fromkeys(tags))[:MOST_TAGS]))


def own(session: Session, user: Principal, ids: list[str]) -> list[Artwork]:
    """Those of the user, in the order in which they were named."""
    mine = select(Artwork).where(Artwork.id.in_(ids), Artwork.user_id == user.id)
    found = session.scalars(mine.options(selectinload(Artwork.document)))
    works = {work.id: work for work in found}
    return [works[identifier] for identifier in dict.fromkeys(ids) if identifier in works]


def change(session: Session, user: Principal, wanted: Selection) -> SelectionOut:
    """What is not there, or another's, is named and changes nothing of the rest. Raises Conflict, and then nothing is
    changed, where a work that is to be deleted is not in the trash.
    """
    works = own(session, user, wanted.ids)
    for work in works:
        if wanted.action == "delete":
            service.delete_for_ever(session, work)
        else:
            CHANGES[wanted.action](work, wanted.tags)
    done = {work.id for work in works}
    return SelectionOut(changed=len(done), missing=[each for each in dict.fromkeys(wanted.ids) if each not in done])


def zipped(session: Session, user: Principal, ids: list[str]) -> Iterator[bytes]:
    """Their files, as the zip is made. Raises NotFound where a work or its file is not there."""
    works = own(session, user, ids)
    known = {work.id for work in works}
    if lost := next((each for each in ids if each not in known), None):
        raise NotFound("There is no such artwork: {id}", id=lost)
    if digest := get_storage().missing(work.sha256 for work in works):
        lost = next(work.id for work in works if work.sha256 == digest)
        raise NotFound("The file of the artwork {id} is missing", id=lost)
    return files([(f"danqing-{work.id}{suffix_of(work.media_type)}", work.sha256) for work in works])


def files(named: list[tuple[str, str]]) -> Iterator[bytes]:
    zipping = ZipStream()
    for name, digest in named:
        zipping.add(get_storage().get(digest), name)
        yield from zipping.file()
    yield from zipping
