"""Artworks: find, change, trash, restore, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer

from app.artworks.schemas import ArtworkBrief, ArtworkChange, ArtworkOut
from app.artworks.tables import Artwork, Source
from app.database import now
from app.errors import NotFound
from app.media import of_type, previews
from app.security import Principal
from app.storage import get_storage
from app.text import folded

COLUMNS = tuple(getattr(Artwork, name) for name in ArtworkBrief.model_fields)
LISTED = select(*COLUMNS, Artwork.user_id).order_by(Artwork.id.desc())
BRIEFS = TypeAdapter(list[ArtworkBrief])
BRIEF = defer(Artwork.provenance, raiseload=True)  # of a list
TAG_MARK = "\x1f"  # no prompt of one line can look like a tag


@dataclass
class Filter:
    """What a list of artworks is narrowed to."""

    q: str | None = None
    model: str | None = None
    task: str | None = None
    tag: str | None = None
    favourite: bool | None = None
    trashed: bool = False
    studio: bool = False


def request_params(provenance: dict[str, Any]) -> dict[str, Any]:
    """Parameters that give this very work again, alone."""
    params = {**provenance.get("params", {}), "count": 1}
    if "seed" in provenance:
        params["seed"] = provenance["seed"]
    return {**params, **provenance.get("alone", of_before(provenance))}


def of_before(provenance: dict[str, Any]) -> dict[str, Any]:
    """Works that are older than `alone` say beside it where they lie on a way."""
    weights: dict[str, Any] = {name: provenance[name] for name in ("weights", "style_weights") if name in provenance}
    return {**weights, "path": False} if weights else {}


def told(artwork: Artwork) -> dict[str, Any]:
    """What it says of how it was made."""
    return {"model": artwork.model, "task": artwork.task, **artwork.provenance}


def search_text(title: str, subject: str, model: str, tags: list[str]) -> str:
    """Casefolded words, the model's name for want of a subject; a tag a line with a mark, to be looked for whole."""
    text = "\n".join([title, subject or model.replace("-", " "), *(f"{TAG_MARK}{tag}" for tag in tags), ""])
    return folded(text)


def page(
    session: Session, user: Principal, wanted: Filter, before: str | None, limit: int
) -> tuple[list[ArtworkBrief], str | None]:
    """(newest first, id that the next page starts after)."""
    query = LISTED.limit(limit + 1)
    if wanted.studio:
        query = query.where(Artwork.visibility == "studio", Artwork.deleted_at.is_(None))
    else:
        query = query.where(
            Artwork.user_id == user.id,
            Artwork.deleted_at.is_not(None) if wanted.trashed else Artwork.deleted_at.is_(None),
        )
    for column, value in (
        (Artwork.model, wanted.model),
        (Artwork.task, wanted.task),
        (Artwork.favourite, wanted.favourite),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.favourite is not None:  # whose favourites others' works are is no one else's business
        query = query.where(Artwork.user_id == user.id)
    for word in folded(wanted.q or "").split():
        query = query.where(Artwork.text.contains(word, autoescape=True))
    if wanted.tag:
        query = query.where(Artwork.text.contains(f"\n{TAG_MARK}{folded(wanted.tag)}\n", autoescape=True))
    if before:
        query = query.where(Artwork.id < before)
    rows = session.execute(query).all()
    found = BRIEFS.validate_python([brief(user, row) for row in rows[:limit]])
    return found, found[-1].id if len(rows) > limit else None


def brief(user: Principal, row: Any) -> dict[str, Any]:
    """As this user may see it: a shared work does not tell others whom it pleases."""
    values: dict[str, Any] = row._asdict()
    if values.pop("user_id") != user.id:
        values["favourite"] = False
    return values


def made_from(session: Session, user: Principal, artwork: Artwork, most: int = 24) -> list[Artwork]:
    """This user's works that were made from the given one, newest first."""
    query = (
        select(Artwork)
        .options(BRIEF)
        .join(Source, Source.artwork_id == Artwork.id)
        .where(Source.source_id == artwork.id, Artwork.user_id == user.id, Artwork.deleted_at.is_(None))
        .order_by(Artwork.id.desc())
    )
    return list(session.scalars(query.limit(most)))


def get(session: Session, user: Principal, artwork_id: str, writing: bool = False) -> Artwork:
    """Raises NotFound also for what belongs to another, unless it is shared and only looked at."""
    artwork = session.get(Artwork, artwork_id)
    own = artwork is not None and artwork.user_id == user.id
    shared = artwork is not None and artwork.visibility == "studio" and artwork.deleted_at is None
    if artwork is None or not (own or (shared and not writing)):
        raise NotFound("There is no such artwork")
    return artwork


def shown(user: Principal, artwork: Artwork) -> ArtworkOut:
    """The same with its provenance, which does not tell others what it is made of."""
    described = ArtworkOut.model_validate(artwork)
    if artwork.user_id != user.id:
        described.favourite = False
        described.provenance = {name: value for name, value in described.provenance.items() if name != "inputs"}
    return described


def by_content(session: Session, user: Principal, digest: str) -> Artwork | None:
    """The newest work with this SHA-256 that `user` may see."""
    theirs = or_(Artwork.user_id == user.id, Artwork.visibility == "studio")
    query = select(Artwork).where(Artwork.sha256 == digest, Artwork.deleted_at.is_(None), theirs)
    return session.scalar(query.order_by(Artwork.id.desc()).limit(1))


def change(artwork: Artwork, wanted: ArtworkChange) -> Artwork:
    for name, value in wanted.model_dump(exclude_none=True).items():
        setattr(artwork, name, value)
    if wanted.tags is not None:
        artwork.tags = list(dict.fromkeys(wanted.tags))
    artwork.text = search_text(artwork.title, artwork.subject, artwork.model, artwork.tags)
    return artwork


def trash(artwork: Artwork) -> None:
    artwork.deleted_at = artwork.deleted_at or now()


def restore(artwork: Artwork) -> Artwork:
    artwork.deleted_at = None
    return artwork


def neighbours(session: Session, user: Principal, artwork: Artwork) -> tuple[str | None, str | None]:
    """Ids of the next newer and the next older work of the same artist that `user` may see."""
    same = select(Artwork.id).where(Artwork.user_id == artwork.user_id, Artwork.deleted_at.is_(None)).limit(1)
    if artwork.user_id != user.id:
        same = same.where(Artwork.visibility == "studio")
    return (
        session.scalar(same.where(Artwork.id > artwork.id).order_by(Artwork.id)),
        session.scalar(same.where(Artwork.id < artwork.id).order_by(Artwork.id.desc())),
    )


def content(artwork: Artwork) -> bytes:
    try:
        return get_storage().get(artwork.sha256)
    except FileNotFoundError as error:
        raise NotFound("The file of this artwork is missing") from error


def preview(artwork: Artwork, size: int) -> bytes:
    """A WebP. Raises NotFound where its medium has no picture of it."""
    medium = of_type(artwork.media_type)
    if medium.is_own_poster:
        return previews.cached_preview(artwork.sha256, size, lambda: content(artwork))
    if artwork.poster_sha256 is None:
        raise NotFound("There is no picture of this work")
    poster = artwork.poster_sha256
    return previews.cached_preview(poster, size, lambda: get_storage().get(poster))
