"""Errors as answers: RFC 9457 JSON for clients, a page for people; never a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from app.errors import DomainError, Invalid, NotFound, Unauthenticated
from app.i18n import language_of, translate
from app.outages import outage
from app.validation import of_field

TITLES = {400: "Bad request", 404: "Not found", 405: "Method not allowed", 500: "Something went wrong"}
CLIENT_GONE = 499  # in logs and metrics, as nginx has it
log = structlog.get_logger()
UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')  # in a file's name, on one system or another


PROBLEM = "urn:danqing:problem:"
MOST_ERRORS, LONGEST = 20, 500  # of one answer; characters of each


def bounded(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class ProblemResponse(Response):
    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        code: str,
        errors: list[Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        body = {"type": f"{PROBLEM}{code}", "title": title, "status": status, "detail": bounded(detail)}
        body["errors"] = [{**each, "msg": bounded(each["msg"])} for each in (errors or [])[:MOST_ERRORS]]
        if len(errors or []) > MOST_ERRORS:
            body["errors_left_out"] = len(errors or []) - MOST_ERRORS
        super().__init__(json.dumps(body, ensure_ascii=True, default=str), status_code=status, headers=headers)


def attachment(name: str) -> dict[str, str]:
    """The header by which a browser saves an answer under `name`, in whatever script that is. RFC 6266."""
    name = UNSAFE.sub("-", name).strip(" .-") or "file"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"}


def wants_json(scope: Scope) -> bool:
    return str(scope["path"]).startswith(("/api/", "/healthz", "/readyz", "/metrics", "/openapi.json"))


def error_response(scope: Scope, error: DomainError) -> Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if wants_json(scope):
        if isinstance(error, Unauthenticated):
            headers["WWW-Authenticate"] = "Bearer"
        language = language_of(Request(scope))
        title, detail = translate(language, error.title), translate(language, error.message)
        errors = [{**each, "msg": translate(language, each.get("msg", error.message))} for each in error.errors]
        return ProblemResponse(error.status, title, detail, error.code, errors, headers)
    if isinstance(error, Unauthenticated) and scope["method"] in ("GET", "HEAD"):
        query = scope.get("query_string", b"").decode("latin-1")
        target = quote(scope["path"]) + (f"?{query}" if query else "")  # a query is quoted as it comes
        sign_in = f"/sign-in?next={quote(target, safe='/')}"
        if Headers(scope=scope).get("hx-request") == "true":  # which would put the form into the middle of the page
            return Response(status_code=401, headers={"HX-Redirect": sign_in})
        return RedirectResponse(sign_in, status_code=303)
    from app.web.templating import render

    shown = {"error": error} if scope["method"] == "GET" else {"error": error, "here": "/"}
    page = render(Request(scope), "error.html", shown, status=error.status)
    page.headers.update(headers)
    return page


def on_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    return error_response(request.scope, error)


def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, DomainError):  # a body that grew too large while it was read
        return error_response(request.scope, error.__cause__)
    if isinstance(error.__cause__ or error.__context__, ClientDisconnect):
        return on_client_gone(request, error)
    if error.status_code == 404:
        return error_response(request.scope, NotFound("There is nothing at this address"))
    title = TITLES.get(error.status_code, "Error")
    if not wants_json(request.scope):
        return error_response(request.scope, problem(error.status_code, title))
    code, headers = title.lower().replace(" ", "-"), dict(error.headers or {})
    return ProblemResponse(error.status_code, title, str(error.detail), code, headers=headers)


def problem(status: int, title: str) -> DomainError:
    """One of the framework's own, as a page shows it."""
    kind: type[DomainError] = type("Problem", (DomainError,), {"status": status, "title": title})
    return kind()


def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [{"loc": place(p["loc"]), "msg": of_field(p), "type": p["type"]} for p in error.errors()]
    return error_response(request.scope, Invalid("Some fields are not valid", errors=problems))


def place(loc: Iterable[Any]) -> list[Any]:
    """Where in the request: names that it made up itself may be of any length."""
    return [part[:100] if isinstance(part, str) else part for part in loc]


def on_surroundings(request: Request, error: Exception) -> Response:
    """A database or a disk that is locked, full, read-only or away; any other error is ours."""
    fault = outage(error)
    if fault is None:
        raise error
    log.warning("surroundings_failed", error=repr(error)[:500])
    return error_response(request.scope, fault)


def on_client_gone(request: Request, error: Exception) -> Response:
    """Who sent half of a body and left hears nothing any more; the log says so, and no error of ours."""
    return Response(status_code=CLIENT_GONE)


def on_unexpected(request: Request, error: Exception) -> Response:
    return error_response(request.scope, InternalError())


class InternalError(DomainError):
    status, title, code = 500, "Something went wrong on our side; it is in the log under this request's id", "internal"
