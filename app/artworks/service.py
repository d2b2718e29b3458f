"""Artworks: find, change, trash, restore, and their files."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session, defer

from app.artworks import search
from app.artworks.schemas import ArtworkChange, ArtworkOut
from app.artworks.tables import Artwork, Source
from app.database import now
from app.errors import Conflict, Damaged, NotFound
from app.media import of_type, previews
from app.media.cutout import cut_out, is_plain
from app.media.pixels import encode_png
from app.media.provenance import signed, with_provenance
from app.security import Principal
from app.storage import get_storage

BRIEF = defer(Artwork.provenance, raiseload=True)  # of a list


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
    search.index(artwork)
    return artwork


def trash(artwork: Artwork) -> None:
    artwork.deleted_at = artwork.deleted_at or now()
    search.index(artwork)


def restore(artwork: Artwork) -> Artwork:
    artwork.deleted_at = None
    search.index(artwork)
    return artwork


def delete_for_ever(session: Session, artwork: Artwork) -> None:
    """Raises Conflict for what is not in the trash. The file goes as one that nothing names."""
    if artwork.deleted_at is None:
        raise Conflict("The work {id} is not in the trash", id=artwork.id)
    session.delete(artwork)


def empty_trash(session: Session, user: Principal) -> int:
    """Delete for ever what this user has in the trash; returns how many works."""
    mine = delete(Artwork).where(Artwork.user_id == user.id, Artwork.deleted_at.is_not(None))
    return int(session.execute(mine).rowcount)  # type: ignore[attr-defined]


def content(artwork: Artwork) -> bytes:
    try:
        return get_storage().get(artwork.sha256)
    except FileNotFoundError as error:
        raise NotFound("The file of this artwork is missing") from error


def cutout(artwork: Artwork) -> bytes:
    """A PNG that says the same of how it was made. Raises Conflict where the work has no plain background."""
    whole = content(artwork)
    made = cut_out(whole) if of_type(artwork.media_type).is_own_poster else None
    if made is None:
        raise Conflict("This work has no plain background")
    return with_provenance(encode_png(made), signed(whole))


def has_cutout(artwork: Artwork) -> bool:
    """As its small preview says, which is there already."""
    if not of_type(artwork.media_type).is_own_poster:
        return False
    try:
        return is_plain(preview(artwork, 256))
    except (NotFound, Damaged):
        return False


def preview(artwork: Artwork, size: int) -> bytes:
    """A WebP. Raises NotFound where its medium has no picture of it."""
    medium = of_type(artwork.media_type)
    if medium.is_own_poster:
        return previews.cached_preview(artwork.sha256, size, lambda: content(artwork))
    if artwork.poster_sha256 is None:
        raise NotFound("There is no picture of this work")
    poster = artwork.poster_sha256
    return previews.cached_preview(poster, size, lambda: get_storage().get(poster))
