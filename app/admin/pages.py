"""Users, queue and workers, for admins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse

from app.admin import api, overview, storage
from app.admin.queue import Place
from app.database import session_scope
from app.errors import DomainError
from app.jobs import pauses
from app.jobs.registry import queues
from app.machines import liveness
from app.users import service as users
from app.users.deps import Admin
from app.users.schemas import UserChange, UserIn
from app.validation import entered
from app.web.parameters import Id
from app.web.routing import Router
from app.web.templating import render

router = Router(prefix="/admin")
Entry = Annotated[str, Form(max_length=1000)]
SHOWN = 30  # runs, the largest


@router.get("")
def index(request: Request, admin: Admin) -> Response:
    return page(request)


def page(request: Request, error: DomainError | None = None, link: str | None = None) -> Response:
    with session_scope(writing=False) as session:
        context: dict[str, Any] = {
            "path": "/admin",
            "people": users.all_users(session),
            "jobs": overview.unfinished(session),
            "link": link,
            "error": error,
            "workers": [(worker, liveness.is_alive(worker)) for worker in liveness.workers(session)],
            "counts": overview.counts(session),
            "runs": overview.training(session),
            "keys": users.all_keys(session),
            "room": overview.room(session),
            "queues": list(queues()),
            "paused": pauses.paused(session),
        }
    context |= {
        "redis": overview.redis_answers(),
        "stored": storage.runs(),
        "most_stored": SHOWN,
        "checkpoints": storage.checkpoints(),
    }
    return render(request, "admin/index.html", context, status=error.status if error else 200)


def done(request: Request, work: Callable[[], object]) -> Response:
    try:
        work()
    except DomainError as error:
        return page(request, error)
    return RedirectResponse("/admin", status_code=303)


@router.post("/queue/{job_id}/cancellation")
def cancel_job(request: Request, admin: Admin, job_id: Id) -> Response:
    return done(request, lambda: api.cancel(job_id))


@router.post("/queue/{job_id}/place")
def move_job(request: Request, admin: Admin, job_id: Id, place: Annotated[Place, Form()]) -> Response:
    return done(request, lambda: api.move(job_id, place))


@router.post("/queue/pauses")
def pause_queue(request: Request, admin: Admin, name: Entry, paused: Annotated[bool, Form()]) -> Response:
    return done(request, lambda: api.set_paused(name, paused))


@router.post("/storage/tidying")
def tidy(request: Request, admin: Admin, run: Annotated[str, Form(max_length=36)] = "") -> Response:
    """Of one run, or of all that are over."""
    return done(request, lambda: storage.tidy(run) if run else storage.tidy_all())


@router.post("/users")
def add_user(request: Request, admin: Admin, name: Entry, role: Entry = "artist") -> Response:
    """The new user gets a one-time link, and sets a password after it: no password is ever told by someone else."""
    try:
        with entered():
            given = UserIn.model_validate({"name": name, "role": role})
        with session_scope() as session:
            token = users.create_link(session, users.create(session, given).id)
    except DomainError as error:
        return page(request, error)
    return page(request, link=str(request.url_for("link_form", token=token)))


@router.post("/keys/{key_id}/revocation")
def revoke_key(admin: Admin, key_id: Id) -> RedirectResponse:
    with session_scope() as session:
        users.revoke_key(session, None, key_id)
    return RedirectResponse("/admin", status_code=303)


@router.post("/users/{user_id}/link")
def new_link(request: Request, admin: Admin, user_id: Id) -> Response:
    with session_scope() as session:
        token = users.create_link(session, users.get(session, user_id).id)
    return page(request, link=str(request.url_for("link_form", token=token)))


@router.post("/users/{user_id}")
def change_user(
    request: Request,
    admin: Admin,
    user_id: Id,
    role: Annotated[str | None, Form()] = None,
    disabled: Annotated[bool | None, Form()] = None,
) -> Response:
    try:
        with entered():
            wanted = UserChange.model_validate({"role": role, "disabled": disabled})
        with session_scope() as session:
            users.change(session, users.get(session, user_id), wanted)
    except DomainError as error:
        return page(request, error)
    return RedirectResponse("/admin", status_code=303)
