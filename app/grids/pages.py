"""Grids in the browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.errors import NotFound
from app.grids import service
from app.grids.schemas import GridBrief
from app.users.deps import User
from app.web.forms import fields
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id
from app.web.routing import Router
from app.web.templating import render

router = Router(prefix="/grids")
PAGE = 24


@dataclass
class Words:
    """What a form calls what differs, by name, and its choices; whether the seed changes anything."""

    titles: dict[str, str] = field(default_factory=dict)
    choices: dict[str, dict[Any, str]] = field(default_factory=dict)
    has_seed: bool = True


@router.get("")
def index(request: Request, user: User, cursor: Cursor = None) -> Response:
    with session_scope(writing=False) as session:
        found, more = service.page(session, user, decode(cursor), PAGE)
        grids = [(service.brief(grid), service.covers(session, grid)) for grid in found]
    context = {
        "grids": grids,
        "next_cursor": encode(more) if more else None,
        "words": {grid.id: words(grid) for grid, _ in grids},
    }
    return render(request, "grids/index.html", context)


@router.get("/{grid_id}")
def show(request: Request, user: User, grid_id: Id) -> Response:
    with session_scope(writing=False) as session:
        grid = service.describe(session, service.get(session, user, grid_id))
    return render(request, "grids/show.html", {"grid": grid, "words": words(grid)})


@router.post("/{grid_id}/deletion")
def delete(user: User, grid_id: Id) -> RedirectResponse:
    with session_scope() as session:
        service.remove(session, service.get(session, user, grid_id))
    return RedirectResponse("/grids", status_code=303)


def words(grid: GridBrief) -> Words:
    """None where the model is gone."""
    try:
        task = checkpoints.get(grid.request.model).task(grid.request.task)
    except NotFound:
        return Words()
    found = fields(task.params)
    titles = {each.name: each.title for each in found} | {each.role: each.title for each in task.inputs}
    choices = {each.name: {c: each.titles.get(c, c) for c in each.choices if isinstance(c, str)} for each in found}
    return Words(titles, choices, task.params.is_seeded(grid.request.params))
