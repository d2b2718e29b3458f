"""Grids in the browser."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.errors import NotFound
from app.generations import service as generations
from app.grids import service
from app.grids.schemas import GridOut
from app.users.deps import User
from app.web.forms import fields
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id
from app.web.routing import Router
from app.web.templating import render

router = Router(prefix="/grids")
PAGE = 24


@router.get("")
def index(request: Request, user: User, cursor: Cursor = None) -> Response:
    with session_scope(writing=False) as session:
        found, more = service.page(session, user, decode(cursor), PAGE)
        grids = [service.describe(session, grid) for grid in found]
    context = {
        "grids": grids,
        "next_cursor": encode(more) if more else None,
        "titles": {g.id: titles(g) for g in grids},
    }
    return render(request, "grids/index.html", context)


@router.get("/{grid_id}")
def show(request: Request, user: User, grid_id: Id) -> Response:
    with session_scope(writing=False) as session:
        grid = service.describe(session, service.get(session, user, grid_id))
    return render(request, "grids/show.html", {"grid": grid, "titles": titles(grid)})


@router.get("/{grid_id}/cells/{generation_id}")
def cell(request: Request, user: User, grid_id: Id, generation_id: Id) -> Response:
    """One of its cells, for the page to put in place when the job has ended."""
    with session_scope(writing=False) as session:
        job = generations.describe_one(session, generations.get(session, user, generation_id))
    if job.grid != grid_id:
        raise NotFound("There is no such generation")
    return render(request, "grids/_cell.html", {"job": job})


@router.post("/{grid_id}/deletion")
def delete(user: User, grid_id: Id) -> RedirectResponse:
    with session_scope() as session:
        service.remove(session, service.get(session, user, grid_id))
    return RedirectResponse("/grids", status_code=303)


def titles(grid: GridOut) -> dict[str, str]:
    """Of what differs, as the form calls it; by name where the model is gone."""
    try:
        task = checkpoints.get(grid.request.model).task(grid.request.task)
    except NotFound:
        return {}
    return {each.name: each.title for each in fields(task.params)} | {each.role: each.title for each in task.inputs}
