"""Models: what each offers, with its contact sheet and figures."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.checkpoints import service
from app.checkpoints.api import Name
from app.deps import Admin, User
from app.templating import render

router = APIRouter()


@router.get("/models")
def index(request: Request, user: User) -> Response:
    return render(request, "checkpoints/index.html", {"models": service.checkpoints().values()})


@router.get("/models/{name}")
def show(request: Request, user: User, name: Name) -> Response:
    found = service.checkpoint_of(name)
    return render(request, "checkpoints/show.html", {"model": found, "card": found.card, "ships": service.ships(name)})


@router.post("/models/{name}/deletion")
def delete(admin: Admin, name: Name) -> RedirectResponse:
    """Artists no longer see it; what it drew stays."""
    service.delete(name)
    return RedirectResponse("/models", status_code=303)
