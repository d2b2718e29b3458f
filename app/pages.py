"""All HTML routes together, and the few pages that belong to no feature: health, metrics, docs, language."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy import text

from app.admin import service as admin
from app.admin.pages import router as admin_pages
from app.artworks.pages import router as artworks_pages
from app.checkpoints import service as checkpoints
from app.checkpoints.pages import router as models_pages
from app.database import session_scope
from app.datasets.pages import router as datasets_pages
from app.deps import User, public
from app.errors import Forbidden
from app.generations.pages import router as generations_pages
from app.i18n import COOKIE, LANGUAGES
from app.metrics import render as render_metrics
from app.openapi import description
from app.security import local_path
from app.settings import get_settings
from app.templating import render
from app.training_runs.pages import router as training_pages
from app.users.pages import router as users_pages

router = APIRouter(include_in_schema=False)
for pages in (
    artworks_pages,
    generations_pages,
    models_pages,
    datasets_pages,
    training_pages,
    users_pages,
    admin_pages,
):
    router.include_router(pages)
log = structlog.get_logger()


@router.get("/healthz")
@public
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
@public
def readyz() -> JSONResponse:
    """Whether jobs would be taken and done; each part with its reason."""
    parts: dict[str, str] = {}
    try:
        with session_scope(writing=False) as session:
            session.execute(text("SELECT 1"))
            parts["workers"] = "ok" if admin.alive_by_queue(session).get("generation") else "no worker is alive"
        parts["database"] = "ok"
    except Exception as error:
        log.warning("not_ready", part="database", error=str(error))
        parts["database"] = "the database does not answer"
    parts["redis"] = "ok" if admin.redis_answers() else "Redis does not answer; jobs are kept and run when it is back"
    parts["models"] = "ok" if checkpoints.catalogue() else "there is no model to draw with"
    ready = parts["database"] == "ok" and parts["models"] == "ok"
    return JSONResponse({"status": "ready" if ready else "not ready", "parts": parts}, 200 if ready else 503)


@router.get("/metrics")
@public
def metrics(request: Request) -> Response:
    """Prometheus; from this machine or with an admin's key only."""
    user = request.state.user
    local = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    if not local and not (user and user.is_admin):
        raise Forbidden("Metrics are for this machine or an admin's key")
    with session_scope(writing=False) as session:
        body = render_metrics(admin.counts(session), admin.alive_by_queue(session))
    return Response(body, media_type="text/plain; version=0.0.4")


@router.get("/docs")
def docs(request: Request, user: User) -> Response:
    """The API's reference, from our own files."""
    return render(request, "docs.html")


@router.get("/api/v1/openapi.json")
def openapi(request: Request, user: User) -> JSONResponse:
    return JSONResponse(description(request.app))


@router.post("/language")
@public
def choose_language(
    request: Request, language: Annotated[str, Form()], next: Annotated[str, Form()] = "/"
) -> RedirectResponse:
    answer = RedirectResponse(local_path(next), status_code=303)
    if language in LANGUAGES:
        answer.set_cookie(COOKIE, language, max_age=31536000, samesite="lax", secure=get_settings().secure_cookies)
    return answer
