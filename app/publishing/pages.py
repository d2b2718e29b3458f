"""Models: what each offers, with its contact sheet and figures."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.checkpoints import service as checkpoints
from app.checkpoints.api import Name
from app.checkpoints.figures import arranged
from app.database import session_scope
from app.publishing import service, starters
from app.training_runs import service as training_runs
from app.users.deps import Admin, User
from app.web.routing import Router
from app.web.templating import render

router = Router()


@router.get("/models")
def index(request: Request, user: User) -> Response:
    return render(
        request,
        "checkpoints/index.html",
        {"models": checkpoints.checkpoints().values(), "starters": starters.absent() if user.is_admin else {}},
    )


@router.get("/models/{name}")
def show(request: Request, user: User, name: Name) -> Response:
    found = checkpoints.checkpoint_of(name)
    facts, tables = arranged(found.card.get("figures", {}))
    with session_scope(writing=False) as session:
        run = training_runs.behind(session, name) if user.is_admin else None
    context = {
        "model": found,
        "card": found.card,
        "facts": facts,
        "tables": tables,
        "ships": checkpoints.ships(name),
        "run": run,
    }
    return render(request, "checkpoints/show.html", context)


@router.post("/models/{name}/deletion")
def delete(admin: Admin, name: Name) -> RedirectResponse:
    """Artists no longer see it; what it drew stays."""
    service.unpublish(name)
    return RedirectResponse("/models", status_code=303)
