"""All HTML routes together, and the few pages that belong to no feature: health, metrics, docs, language."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from app.admin.pages import router as admin_pages
from app.checkpoints.service import title_of
from app.datasets.pages import router as datasets_pages
from app.gallery.pages import router as artworks_pages
from app.generations.pages import router as generations_pages
from app.grids.pages import router as grids_pages
from app.i18n import COOKIE, LANGUAGES, translate
from app.media import MEDIA, of_type
from app.publishing.pages import router as models_pages
from app.security import local_path
from app.settings import get_settings
from app.training_runs.pages import router as training_pages
from app.uploads.pages import router as uploads_pages
from app.users.deps import User, public
from app.users.pages import router as users_pages
from app.web import reference
from app.web.openapi import description
from app.web.routing import Router
from app.web.templating import filters, render

router = Router(include_in_schema=False)
filters["medium"] = lambda language: of_type
filters["kind"] = lambda language: MEDIA.__getitem__
filters["pieces"] = lambda language: reference.pieces
filters["titled"] = lambda language: lambda model: translate(language, title_of(model))
for pages in (
    artworks_pages,
    generations_pages,
    grids_pages,
    models_pages,
    datasets_pages,
    training_pages,
    users_pages,
    uploads_pages,
    admin_pages,
):
    router.include_router(pages)
log = structlog.get_logger()


@router.get("/docs")
def docs(request: Request, user: User) -> Response:
    """The API's reference."""
    document = description(request.app, getattr(request.state, "base", ""))
    known = reference.schemas(document)
    context = {
        "sections": reference.sections(document),
        "schemas": known,
        "names": {each.name for each in known},
    }
    return render(request, "docs.html", context)


@router.get("/openapi.json")
@router.get("/api/v1/openapi.json")
def openapi(request: Request, user: User) -> JSONResponse:
    return JSONResponse(description(request.app, getattr(request.state, "base", "")))


@router.post("/language")
@public
def choose_language(
    request: Request, language: Annotated[str, Form()], next: Annotated[str, Form()] = "/"
) -> RedirectResponse:
    answer = RedirectResponse(local_path(next), status_code=303)
    if language in LANGUAGES:
        answer.set_cookie(COOKIE, language, max_age=31536000, samesite="lax", secure=get_settings().secure_cookies)
    return answer
