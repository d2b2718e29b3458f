"""Gallery, artwork and trash."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Form, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from app.artworks import listing, renderings, selection, service
from app.artworks.schemas import ArtworkBrief, Ids
from app.artworks.tables import Artwork
from app.checkpoints import service as checkpoints
from app.checkpoints.service import Checkpoint
from app.database import session_scope
from app.errors import Damaged, NotFound
from app.gallery import reading
from app.gallery.narrowing import Narrowed, parameters
from app.generations import restoring
from app.generations import service as generations
from app.generations.pages import form_of
from app.media import of_type
from app.media.listening import Listening, listening
from app.settings import get_settings
from app.users.deps import User
from app.web.forms import Field
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id
from app.web.responses import attachment
from app.web.routing import Router
from app.web.templating import render
from models.contract.message import Message
from models.contract.registry import families
from models.contract.tasks import Task
from models.contract.values import MUSIC

router = Router()
PAGE, MOST = 48, 2000  # the second when somebody comes back to a place far down
# What a work may be, by the name that most families give it.
KINDS = {task.name: task.title for family in families().values() for task in reversed(family.tasks)}


@router.get("/")
def gallery(
    request: Request,
    user: User,
    listed: Narrowed,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE,
) -> Response:
    """A page, or only the next cards for infinite scroll."""
    with session_scope(writing=False) as session:
        works, more = listing.page(session, user, listed.wanted, decode(cursor), limit)
    context = {
        "works": works,
        "next_cursor": encode(more) if more else None,
        "wanted": listed.wanted,
        "query": listed.query,
        "models": checkpoints.catalogue(),
        "tasks": KINDS,
        "trash_days": get_settings().trash_days,
        "most": MOST,
    }
    fragment = request.headers.get("hx-request") == "true"
    return render(request, "artworks/_cards.html" if fragment else "artworks/index.html", context)


@router.post("/trash")
def empty_trash(user: User) -> RedirectResponse:
    with session_scope() as session:
        service.empty_trash(session, user)
    return RedirectResponse("/?trashed=true", status_code=303)


@router.post("/download")
def download(user: User, ids: Annotated[Ids, Form()]) -> StreamingResponse:
    """The files of many works as one zip, which a browser saves while it is made."""
    with session_scope(writing=False) as session:
        content = selection.zipped(session, user, ids)
    return StreamingResponse(content, media_type="application/zip", headers=attachment("danqing.zip"))


@router.get("/artworks/{artwork_id}")
def artwork(request: Request, user: User, artwork_id: Id, listed: Narrowed) -> Response:
    """One work, and its neighbours in the list from which it was opened."""
    with session_scope(writing=False) as session:
        found = service.get(session, user, artwork_id)
        wanted = listed.wanted if listed.query else listing.where_it_is(user, found)
        before, after = listing.neighbours(session, user, wanted, found.id)
        derived = service.made_from(session, user, found)
        request_again = restoring.restore(session, user, service.told(found)).request
        text, music = reading.reading(found), heard(found)
        sisters = generations.artworks_of_job(session, found.generation_id) if found.generation_id else []
        notice = generations.notice_of(session, user, found.generation_id) if found.generation_id else None
    catalogue = checkpoints.catalogue()
    model = catalogue.get(found.model)
    task = model.does(found.task) if model else None
    return render(
        request,
        "artworks/show.html",
        {
            "work": found,
            "text": text,
            "music": music,
            "before": before,
            "after": after,
            "notice": notice,
            "query": listed.query,
            "list": parameters(wanted),
            "cursor": encode(found.id),
            "brief": ArtworkBrief.model_validate(found).model_dump(mode="json"),
            "own": found.user_id == user.id,
            "request_again": request_again,
            "derived": derived,
            "params": parameters_of(task, model, service.request_params(found.provenance)),
            "has_seed": not task or task.params.is_seeded(request_again.params),
            "cutout": service.has_cutout(found),
            "there": found.model in checkpoints.cards(),
            "tasks": checkpoints.tasks_from(of_type(found.media_type).name, found.model),
            "sisters": [work for work in sisters if work.user_id == user.id],
        },
    )


def heard(work: Artwork) -> Listening | None:
    """None for a work that is no music, or whose file is gone."""
    if of_type(work.media_type).name != MUSIC:
        return None
    try:
        return listening(renderings.score_of(work))
    except (NotFound, Damaged):
        return None


def parameters_of(task: Task | None, model: Checkpoint | None, params: dict[str, Any]) -> list[tuple[str, Any]]:
    """Parameters as the form calls them, but for those that stand elsewhere or had no effect; of those of a model that
    is gone nothing is known.
    """
    elsewhere, form, titles = {"prompt"}, dict[str, Field](), dict[str, str | None]()
    if task and model:
        titles = {name: field.title for name, field in task.params.model_fields.items()}
        elsewhere = {*task.params.in_part("prompt"), *task.params.without_effect(params)}
        form = {field.name: field for field in form_of(task, model)}
    found = []
    for name, value in params.items():
        if name in {"seed", "count", *elsewhere} or value is None or value is False or value in ("", []):
            continue
        field, title = form.get(name), titles.get(name) or name.replace("_", " ").capitalize()
        if isinstance(value, str) and field and value in field.choices:
            value = Message(field.titles.get(value, value))
        if field and field.widget == "adapters":
            value = [f"{field.titles.get(each['name'], each['name'])} {each['weight']:g}" for each in value]
        found.append((title, value))
    return found


@router.post("/artworks/{artwork_id}/trash")
def trash(user: User, artwork_id: Id, listed: Narrowed) -> RedirectResponse:
    with session_scope() as session:
        service.trash(service.get(session, user, artwork_id, writing=True))
    return back(artwork_id, listed)


@router.post("/artworks/{artwork_id}/restore")
def restore(user: User, artwork_id: Id, listed: Narrowed) -> RedirectResponse:
    with session_scope() as session:
        service.restore(service.get(session, user, artwork_id, writing=True))
    return back(artwork_id, listed)


def back(artwork_id: str, listed: Narrowed) -> RedirectResponse:
    query = f"?{urlencode(listed.query)}" if listed.query else ""
    return RedirectResponse(f"/artworks/{artwork_id}{query}", status_code=303)
