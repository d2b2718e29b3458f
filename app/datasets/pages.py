"""Datasets in the browser, for admins."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse

from app.database import session_scope
from app.datasets import fetching, service
from app.datasets.schemas import DatasetIn, State
from app.errors import Conflict, DomainError
from app.media import MEDIA
from app.users.deps import Admin
from app.validation import entered
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id, Text
from app.web.routing import Router
from app.web.templating import render
from models.contract.registry import families

router = Router(prefix="/datasets")
PAGE, SHOWN = 60, 24


@router.get("")
def index(request: Request, admin: Admin, cursor: Cursor = None) -> Response:
    return listing(request, cursor=cursor)


def listing(request: Request, error: DomainError | None = None, cursor: str | None = None) -> Response:
    with session_scope(writing=False) as session:
        found, more = service.page(session, decode(cursor), SHOWN, everything=True)
        covers = {
            dataset.id: [item.id for item in service.items(session, dataset.id, None, None, None, 4)[0]]
            for dataset in found
        }
        offered = fetching.offers(session)
    context = {
        "path": "/datasets",
        "datasets": found,
        "covers": covers,
        "starters": offered,
        "error": error,
        "media": MEDIA,
        "next_cursor": encode(more) if more else None,
    }
    return render(request, "datasets/index.html", context, status=error.status if error else 200)


@router.post("")
def create(
    request: Request,
    admin: Admin,
    name: Annotated[str, Form(max_length=1000)] = "",
    kind: Annotated[str, Form(max_length=20)] = "pictures",
) -> Response:
    try:
        with entered():
            wanted = DatasetIn.model_validate({"name": name, "kind": kind})
        with session_scope() as session:
            made = service.create(session, admin, wanted).id
    except DomainError as error:
        return listing(request, error)
    return RedirectResponse(f"/datasets/{made}", status_code=303)


@router.get("/starters/{name}")
def show_starter(request: Request, admin: Admin, name: fetching.StarterName) -> Response:
    """One collection alone, for a page that watches it."""
    with session_scope(writing=False) as session:
        return render(request, "datasets/_starter.html", {"starter": fetching.offer(session, name)})


@router.post("/starters/{name}")
def fetch_starter(request: Request, admin: Admin, name: fetching.StarterName) -> Response:
    """Begins, unless it has begun, and answers at once."""
    with suppress(Conflict):
        fetching.start(name, admin)
    if request.headers.get("hx-request") == "true":
        return show_starter(request, admin, name)
    return RedirectResponse("/datasets#starters", status_code=303)


@router.post("/{dataset_id}/deletion")
def delete(admin: Admin, dataset_id: Id) -> RedirectResponse:
    with session_scope() as session:
        service.remove(session, service.get(session, dataset_id, lock=True))
    return RedirectResponse("/datasets", status_code=303)


@router.get("/{dataset_id}")
def show(
    request: Request, admin: Admin, dataset_id: Id, state: State | None = None, q: Text = None, cursor: Cursor = None
) -> Response:
    """A page, or only the next items for infinite scroll."""
    fragment = request.headers.get("hx-request") == "true"
    with session_scope(writing=False) as session:
        dataset = service.get(session, dataset_id)
        items, more = service.items(session, dataset.id, state, q, decode(cursor), PAGE)
        context = {
            "dataset": dataset,
            "items": items,
            "next_cursor": encode(more) if more else None,
            "state": state,
            "q": q,
            "query": {key: value for key, value in {"state": state, "q": q}.items() if value},
            "is_learnt_from": any(family.learns == dataset.kind for family in families().values() if family.trainer),
            "statistics": None if fragment else service.statistics(session, dataset),
        }
    return render(request, "datasets/_items.html" if fragment else "datasets/show.html", context)
