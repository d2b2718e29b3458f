"""Users, queue and workers, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse

from app.admin import overview
from app.database import session_scope
from app.errors import DomainError
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


@router.get("")
def index(request: Request, admin: Admin) -> Response:
    return page(request)


def page(request: Request, error: DomainError | None = None, link: str | None = None) -> Response:
    with session_scope(writing=False) as session:
        context = {
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
            "redis": overview.redis_answers(),
        }
    return render(request, "admin/index.html", context, status=error.status if error else 200)


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
