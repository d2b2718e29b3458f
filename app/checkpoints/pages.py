"""Models: what each offers, with its contact sheet and figures."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.checkpoints import service
from app.checkpoints.api import Name, unpublish
from app.checkpoints.figures import arranged
from app.database import session_scope
from app.deps import Admin, User
from app.routing import Router
from app.templating import render
from app.training_runs import service as training_runs

router = Router()


@router.get("/models")
def index(request: Request, user: User) -> Response:
    return render(request, "checkpoints/index.html", {"models": service.checkpoints().values()})


@router.get("/models/{name}")
def show(request: Request, user: User, name: Name) -> Response:
    found = service.checkpoint_of(name)
    facts, tables = arranged(found.card.get("figures", {}))
    with session_scope(writing=False) as session:
        run = training_runs.behind(session, name) if user.is_admin else None
    context = {
        "model": found,
        "card": found.card,
        "facts": facts,
        "tables": tables,
        "ships": service.ships(name),
        "run": run,
    }
    return render(request, "checkpoints/show.html", context)


@router.post("/models/{name}/deletion")
def delete(admin: Admin, name: Name) -> RedirectResponse:
    """Artists no longer see it; what it drew stays."""
    unpublish(name)
    return RedirectResponse("/models", status_code=303)
