"""Grids: ask for all cells at once, look. Takes a session and never commits."""

from __future__ import annotations

import secrets

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.artworks import service as artworks
from app.artworks.tables import Artwork
from app.errors import Conflict, Invalid, NotFound
from app.generations import service as generations
from app.generations.schemas import GenerationIn
from app.generations.tables import Generation
from app.grids.schemas import Axis, GridBrief, GridIn, GridOut
from app.grids.tables import Grid
from app.security import Principal
from app.settings import get_settings

COVERS = 4


def submit(
    session: Session, user: Principal, given: GridIn, idempotency_key: str | None, request_id: str = ""
) -> tuple[Grid, bool]:
    """(grid, whether it is new). All its jobs are there, or none.

    Raises what `generations.submit` raises for any of them; Conflict for a key used with another body.
    """
    fingerprint = generations.hash_of(given.model_dump())
    if idempotency_key and (earlier := by_key(session, user, idempotency_key, fingerprint)):
        return earlier, False
    if given.request.params.get("seed") is None:
        params = {**given.request.params, "seed": secrets.randbelow(2**32)}
        given = given.model_copy(update={"request": given.request.model_copy(update={"params": params})})
    cells = [(request, generations.checked(session, user, request)) for request in given.requests()]
    check_size(sum(asked.cost for _, asked in cells))
    grid = Grid(
        user_id=user.id,
        request=given.common().model_dump(mode="json", exclude_none=True),
        columns=given.columns.model_dump(exclude_none=True),
        rows=given.rows.model_dump(exclude_none=True) if given.rows else {},
        idempotency_key=idempotency_key,
        request_hash=fingerprint,
    )
    try:
        with session.begin_nested():
            session.add(grid)
    except IntegrityError:
        if earlier := by_key(session, user, idempotency_key or "", fingerprint):
            return earlier, False
        raise
    for cell, (request, asked) in enumerate(cells):
        job, _ = generations.queued(session, user, asked, generations.fingerprint_of(request), request_id=request_id)
        job.grid_id, job.cell = grid.id, cell
    return grid, True


def check_size(cost: int) -> None:
    """Raises Invalid for a grid that would never get its turn, however empty the queue."""
    if cost > (most := get_settings().max_queued_cost_per_user):
        raise Invalid("This grid costs {cost}, of which {most} may wait: take fewer cells", cost=cost, most=most)


def by_key(session: Session, user: Principal, key: str, fingerprint: str) -> Grid | None:
    earlier = session.scalar(select(Grid).where(Grid.user_id == user.id, Grid.idempotency_key == key))
    if earlier and earlier.request_hash != fingerprint:
        raise Conflict("This Idempotency-Key was used with another request")
    return earlier


def get(session: Session, user: Principal, grid_id: str) -> Grid:
    """Raises NotFound also for another user's."""
    grid = session.get(Grid, grid_id)
    if grid is None or grid.user_id != user.id:
        raise NotFound("There is no such grid")
    return grid


def page(session: Session, user: Principal, before: str | None, limit: int) -> tuple[list[Grid], str | None]:
    """(newest first, id that the next page starts after)."""
    query = select(Grid).where(Grid.user_id == user.id).order_by(Grid.id.desc()).limit(limit + 1)
    found = list(session.scalars(query.where(Grid.id < before) if before else query))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def jobs(session: Session, grid: Grid) -> list[Generation]:
    return list(session.scalars(select(Generation).where(Generation.grid_id == grid.id).order_by(Generation.cell)))


def covers(session: Session, grid: Grid) -> list[Artwork]:
    """Its first works."""
    query = select(Artwork).join(Generation, Artwork.generation_id == Generation.id).options(artworks.BRIEF)
    shown = query.where(Generation.grid_id == grid.id, Artwork.deleted_at.is_(None))
    return list(session.scalars(shown.order_by(Generation.cell, Artwork.position).limit(COVERS)))


def remove(session: Session, grid: Grid) -> None:
    """Its jobs and works stay."""
    session.execute(update(Generation).where(Generation.grid_id == grid.id).values(grid_id=None, cell=None))
    session.delete(grid)


def brief(grid: Grid) -> GridBrief:
    return GridBrief(
        id=grid.id,
        request=GenerationIn.model_validate(grid.request),
        columns=Axis.model_validate(grid.columns),
        rows=Axis.model_validate(grid.rows) if grid.rows else None,
        created_at=grid.created_at,
    )


def describe(session: Session, grid: Grid) -> GridOut:
    told, found = brief(grid), jobs(session, grid)
    described = dict(zip((job.cell for job in found), generations.describe(session, found), strict=True))
    width, height = len(told.columns.values), len(told.rows.values) if told.rows else 1
    cells = [[described.get(row * width + column) for column in range(width)] for row in range(height)]
    return GridOut(**dict(told), cells=cells)
