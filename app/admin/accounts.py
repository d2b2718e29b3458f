"""Accounts end: with their works, uploads and keys, while datasets, runs and models stay."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.artworks.tables import Artwork
from app.errors import Conflict
from app.generations.tables import UNFINISHED, Generation
from app.users import service
from app.users.schemas import UserChange
from app.users.tables import User


def works_of(session: Session, user: User) -> int:
    return session.scalar(select(func.count()).select_from(Artwork).where(Artwork.user_id == user.id)) or 0


def remove(session: Session, user: User) -> None:
    """Their files are collected later. Raises Conflict for the last admin, and while a job of theirs has not ended."""
    service.change(session, user, UserChange(role="artist"))
    unfinished = select(Generation.id).where(Generation.user_id == user.id, Generation.status.in_(UNFINISHED))
    if session.scalar(unfinished.limit(1)):
        raise Conflict("Some jobs of this user have not ended: lock the account, and try again when they have")
    session.delete(user)
