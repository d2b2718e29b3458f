"""Sign-in, one-time links, account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse

from app.database import session_scope
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.security import COOKIE, local_path
from app.users import service
from app.users.api import client_address, set_session_cookie
from app.users.deps import User, public
from app.users.schemas import KeyIn, UserIn
from app.users.scopes import OF_ROLE, READ, USUAL
from app.validation import entered
from app.web.lanes import HASHING, lane
from app.web.parameters import Id
from app.web.routing import Router
from app.web.templating import render

router = Router()
Entry = Annotated[str, Form(max_length=1000)]


def redirect_signed_in(token: str, target: str = "/") -> RedirectResponse:
    answer = RedirectResponse(target, status_code=303)
    set_session_cookie(answer, token)
    return answer


@router.get("/sign-in")
@public
def sign_in_form(request: Request, next: str = "/") -> Response:
    if request.state.user:
        return RedirectResponse(local_path(next), status_code=303)
    return render(request, "users/sign_in.html", {"next": local_path(next), "error": None, "name": ""})


@router.post("/sign-in")
@public
@lane(HASHING)
def sign_in(request: Request, name: Entry, password: Entry, next: Annotated[str, Form()] = "/") -> Response:
    try:
        with session_scope(writing=False) as session:
            user = service.check_password(session, name, password, client_address(request))
        with session_scope() as session:
            return redirect_signed_in(service.start_session(session, user), local_path(next))
    except DomainError as error:
        page = render(
            request,
            "users/sign_in.html",
            {"next": local_path(next), "error": error, "name": name[:200]},
            status=error.status,
        )
        if error.retry_after:
            page.headers["Retry-After"] = str(error.retry_after)
        return page


@router.post("/sign-out")
def sign_out(request: Request, user: User) -> Response:
    with session_scope() as session:
        service.sign_out(session, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/sign-in", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@router.get("/link/{token}")
@public
def link_form(request: Request, token: str) -> Response:
    """Opening the link changes nothing yet: mail programs and previews open links too."""
    try:
        with session_scope(writing=False) as session:
            link = service.check_link(session, token)
            person = service.get(session, link.user_id).name if link.user_id else None
    except DomainError as error:
        return past(request, error)
    return render(request, "users/link.html", {"token": token, "person": person, "error": None, "name": ""})


def past(request: Request, error: DomainError) -> Response:
    """The link is of no use any more: whoever has an account signs in."""
    return render(request, "users/sign_in.html", {"next": "/", "error": error, "name": ""}, status=error.status)


@router.post("/link/{token}")
@public
@lane(HASHING)
def use_link(request: Request, token: str, name: Entry = "", password: Entry = "") -> Response:
    try:
        with session_scope(writing=False) as session:
            first = service.check_link(session, token).user_id is None
        with entered():
            given = UserIn(name=name, role="admin", password=password or None) if first else None
        with session_scope() as session:
            _, session_token = service.use_link(session, token, given)
        return redirect_signed_in(session_token, "/create")
    except (Conflict, Forbidden) as error:
        return past(request, error)
    except Invalid as error:
        return render(
            request,
            "users/link.html",
            {"token": token, "person": None, "error": error, "name": name[:200]},
            status=error.status,
        )


@router.get("/account")
def account(request: Request, user: User) -> Response:
    return account_page(request, user)


def account_page(
    request: Request, user: User, key: str | None = None, error: DomainError | None = None, saved: bool = False
) -> Response:
    with session_scope(writing=False) as session:
        row, keys = service.get(session, user.id), service.keys(session, user.id)
    return render(
        request,
        "users/account.html",
        {"path": "/account", "row": row, "keys": keys, "new_key": key, "error": error, "saved": saved}
        | {"scopes": OF_ROLE[row.role], "usual": USUAL},
        status=error.status if error else 200,
    )


@router.post("/account/password")
@lane(HASHING)
def change_password(
    request: Request, user: User, new: Entry, current: Entry = "", end_keys: Annotated[bool, Form()] = False
) -> Response:
    try:
        with entered():
            UserIn(name=user.name, password=new)
        with session_scope(writing=False) as session:
            service.check_own_password(session, user.id, current)
        password_hash = service.hashed(new)
        with session_scope() as session:
            token = service.set_own_password(session, user.id, password_hash, end_keys)
    except DomainError as error:
        return account_page(request, user, error=error)
    page = account_page(request, user, saved=True)
    set_session_cookie(page, token)
    return page


@router.post("/account/keys")
def add_key(
    request: Request,
    user: User,
    name: Entry,
    scope: Annotated[list[str], Form()] = [],  # noqa: B006  (FastAPI's way)
    days: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    try:
        with entered():
            wanted = KeyIn.model_validate({"name": name, "scopes": scope or [READ], "days": days or None})
    except Invalid as error:
        return account_page(request, user, error=error)
    with session_scope() as session:
        _, key = service.create_key(session, user.id, wanted)
    return account_page(request, user, key=key)


@router.post("/account/keys/{key_id}/revoke")
def revoke_key(user: User, key_id: Id) -> Response:
    with session_scope() as session:
        service.revoke_key(session, user, key_id)
    return RedirectResponse("/account", status_code=303)
