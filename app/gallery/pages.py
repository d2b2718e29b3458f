"""Gallery, artwork and trash."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.artworks import service
from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.generations import restoring
from app.generations import service as generations
from app.settings import get_settings
from app.users.deps import User
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id, Text
from app.web.routing import Router
from app.web.templating import render
from models.contract.registry import families
from models.contract.tasks import Task

router = Router()
PAGE = 48
# What a work may be, by the name that most families give it.
KINDS = {task.name: task.title for family in families().values() for task in reversed(family.tasks)}


@router.get("/")
def gallery(
    request: Request,
    user: User,
    q: Text = None,
    model: Text = None,
    task: Text = None,
    tag: Text = None,
    favourite: bool = False,
    trashed: bool = False,
    studio: bool = False,
    cursor: Cursor = None,
) -> Response:
    """A page, or only the next cards for infinite scroll."""
    wanted = service.Filter(q, model or None, task or None, tag, favourite or None, trashed, studio)
    with session_scope(writing=False) as session:
        works, more = service.page(session, user, wanted, decode(cursor), PAGE)
    query = {
        "q": q,
        "model": model,
        "task": task,
        "tag": tag,
        "favourite": favourite or None,
        "trashed": trashed or None,
        "studio": studio or None,
    }
    context = {
        "works": works,
        "next_cursor": encode(more) if more else None,
        "wanted": wanted,
        "query": {key: value for key, value in query.items() if value},
        "models": checkpoints.catalogue(),
        "tasks": KINDS,
        "trash_days": get_settings().trash_days,
    }
    fragment = request.headers.get("hx-request") == "true"
    return render(request, "artworks/_cards.html" if fragment else "artworks/index.html", context)


@router.get("/artworks/{artwork_id}")
def artwork(request: Request, user: User, artwork_id: Id) -> Response:
    with session_scope(writing=False) as session:
        found = service.get(session, user, artwork_id)
        newer, older = service.neighbours(session, user, found)
        derived = service.made_from(session, user, found)
        request_again = restoring.restore(session, user, service.told(found)).request
        sisters = generations.artworks_of_job(session, found.generation_id) if found.generation_id else []
    catalogue = checkpoints.catalogue()
    model = catalogue.get(found.model)
    task = model.family.task(found.task) if model else None
    return render(
        request,
        "artworks/show.html",
        {
            "work": found,
            "newer": newer,
            "older": older,
            "own": found.user_id == user.id,
            "request_again": request_again,
            "derived": derived,
            "again": service.request_params(found.provenance),
            "titles": titles_of(task),
            "said": {
                "seed",
                "count",
                *(task.params.in_part("prompt") if task else ["prompt"]),
            },  # in places of their own
            "there": found.model in checkpoints.cards(),
            "variation": any(made.family.task("image-variation") for made in catalogue.values()),
            "sisters": [work for work in sisters if work.user_id == user.id],
        },
    )


def titles_of(task: Task | None) -> dict[str, str]:
    """What the form calls the parameters of a task; of those of a model that is gone nothing is known."""
    return {name: field.title for name, field in task.params.model_fields.items() if field.title} if task else {}


@router.post("/artworks/{artwork_id}/trash")
def trash(user: User, artwork_id: Id) -> RedirectResponse:
    with session_scope() as session:
        service.trash(service.get(session, user, artwork_id, writing=True))
    return RedirectResponse(f"/artworks/{artwork_id}", status_code=303)


@router.post("/artworks/{artwork_id}/restore")
def restore(user: User, artwork_id: Id) -> RedirectResponse:
    with session_scope() as session:
        service.restore(service.get(session, user, artwork_id, writing=True))
    return RedirectResponse(f"/artworks/{artwork_id}", status_code=303)
