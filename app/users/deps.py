"""Who makes a request: deny by default, with a short list of public routes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from app.database import session_scope
from app.errors import Forbidden, Invalid, Unauthenticated
from app.security import COOKIE, Principal
from app.users import service
from app.users.scopes import check_scope
from app.validation import OF_FIELDS
from app.web.methods import query_parameters
from app.web.responses import wants_json
from models.contract.message import Message

F = TypeVar("F", bound=Callable[..., object])
NO_FIELD = OF_FIELDS["extra_forbidden"]
PUBLIC: set[str] = set()  # names of the endpoint functions that need no sign-in


def public(endpoint: F) -> F:
    """Mark an endpoint as open to everyone; every other one needs a user."""
    PUBLIC.add(f"{endpoint.__module__}.{endpoint.__qualname__}")
    return endpoint


def is_public(request: Request) -> bool:
    endpoint = request.scope.get("endpoint")
    return f"{getattr(endpoint, '__module__', '')}.{getattr(endpoint, '__qualname__', '')}" in PUBLIC


async def authenticate(request: Request) -> Principal | None:
    """Runs before every route of the app. Raises Unauthenticated on all that are not public."""
    user = None
    if (credential := credential_of(request)) is not None:
        user = service.recent(*credential) or await run_in_threadpool(identify, request)
    request.state.user = user
    if user is None and not is_public(request):
        raise Unauthenticated
    if user is not None and user.via == "key":
        check_scope(user.scopes, request.method, request.scope["path"])
    if request.query_params and request.scope["path"].startswith("/api/"):
        check_parameters(request)
    return user


def check_parameters(request: Request) -> None:
    """Raises Invalid for a query parameter that is none: whoever mistypes a filter must not get everything."""
    route = request.scope["route"]
    unknown = sorted(set(request.query_params) - query_parameters(route)) if route.include_in_schema else []
    if unknown:
        problems = [
            {"loc": ["query", name[:100]], "msg": Message(NO_FIELD), "type": "extra_forbidden"} for name in unknown
        ]
        raise Invalid("Some fields are not valid", errors=problems)


def credential_of(request: Request) -> tuple[str, str] | None:
    """("key" or "session", secret). A key opens the API alone: pages make keys and set passwords, see `in_person`.

    Other schemes are for whoever stands before the studio.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and wants_json(request.scope):
        return "key", key.strip()
    token = request.cookies.get(COOKIE)
    return ("session", token) if token else None


def identify(request: Request) -> Principal | None:
    """By an API key, or by the session of a browser."""
    if (credential := credential_of(request)) is None:
        return None
    via, secret = credential
    with session_scope(writing=False) as session:
        found = service.from_key(session, secret) if via == "key" else service.from_session(session, secret)
    if found is None and via == "key" and not is_public(request):
        raise Unauthenticated("The API key is not valid")
    return found


def recognise(request: Request) -> None:
    """Where no route was found, so that the page which says so keeps its menu."""
    with suppress(Exception):
        request.state.user = identify(request)


async def current_user(user: Annotated[Principal | None, Depends(authenticate)]) -> Principal:
    if user is None:
        raise Unauthenticated
    return user


async def current_admin(user: Annotated[Principal, Depends(current_user)]) -> Principal:
    if not user.is_admin:
        raise Forbidden("Only admins may do this")
    return user


async def in_person(user: Annotated[Principal, Depends(current_user)]) -> Principal:
    """Who has signed in. What a key makes must not outlive it, so that no key gives access: to users, or to keys."""
    if user.via != "session":
        raise Forbidden("A key gives no access to others; sign in")
    return user


User = Annotated[Principal, Depends(current_user)]
Admin = Annotated[Principal, Depends(current_admin)]
InPerson = Depends(in_person)
