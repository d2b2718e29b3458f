"""The web process: routers, middleware, error handlers, lifespan. Never imports torch."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

import app.tables  # noqa: F401  (every table must be known before the first query)
from app import health, pages
from app.admin.api import router as admin_api
from app.artworks.api import router as artworks_api
from app.checkpoints.api import checkpoints_router
from app.checkpoints.api import router as models_api
from app.database import learn_newest
from app.datasets import fetching
from app.datasets.api import router as datasets_api
from app.errors import DomainError
from app.explorations.api import router as explorations_api
from app.generations.api import events_router
from app.generations.api import router as generations_api
from app.grids.api import router as grids_api
from app.jobs.following import following
from app.logs import configure_logging
from app.publishing.api import router as publishing_api
from app.publishing.transfers import router as transfers_api
from app.settings import ROOT, get_settings
from app.training_runs.api import families_router
from app.training_runs.api import router as training_api
from app.upkeep.sweeping import sweep_forever
from app.uploads.api import router as uploads_api
from app.users.api import router as users_api
from app.users.deps import authenticate, recognise
from app.version import VERSION
from app.web.middleware import Forwarded, HeadMiddleware, KnownHosts, Probes, StudioMiddleware
from app.web.responses import (
    on_client_gone,
    on_domain_error,
    on_http_error,
    on_surroundings,
    on_unexpected,
    on_validation_error,
    wants_json,
)
from app.web.sub_path import SubPath

log = structlog.get_logger()
DESCRIPTION = "A self-hosted studio for art with models that you train yourself. See `/docs` for every route."


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    # Uploads wait where they will be kept: elsewhere may be little room, or memory.
    spool = get_settings().data / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(spool)
    stop = threading.Event()
    fetching.stopping.clear()
    await asyncio.to_thread(learn_newest)
    sweeper = threading.Thread(target=sweep_forever, args=(stop,), daemon=True, name="sweeper")
    sweeper.start()
    reader = asyncio.create_task(following.run(), name="following")
    yield
    reader.cancel()
    stop.set()
    fetching.stop()
    sweeper.join(timeout=5)
    tempfile.tempdir = None


def operation_id(route: APIRoute) -> str:
    """What a generated client calls an operation: it stays, wherever the route moves."""
    return f"{route.tags[0]}_{route.name}".replace("-", "_") if route.tags else route.name


def on_nothing(request: Request, error: Exception) -> Response:
    if not wants_json(request.scope) and not hasattr(request.state, "user"):
        recognise(request)
    return on_http_error(request, error)


def create_app() -> FastAPI:
    """The application, with every route behind sign-in unless it says `@public`."""
    settings = get_settings()
    configure_logging(settings.log_format)
    application = FastAPI(
        title="Danqing 丹青",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(authenticate)],
        separate_input_output_schemas=True,
        generate_unique_id_function=operation_id,
    )
    api = APIRouter(prefix="/api/v1")
    for router in (
        models_api,
        generations_api,
        events_router,
        explorations_api,
        grids_api,
        artworks_api,
        uploads_api,
        datasets_api,
        families_router,
        training_api,
        checkpoints_router,
        transfers_api,
        publishing_api,
        users_api,
        admin_api,
    ):
        api.include_router(router)
    application.include_router(api)
    application.include_router(pages.router)
    application.mount("/static", StaticFiles(directory=ROOT / "static"), name="static")
    application.add_exception_handler(DomainError, on_domain_error)
    application.add_exception_handler(HTTPException, on_nothing)
    application.add_exception_handler(RequestValidationError, on_validation_error)
    application.add_exception_handler(DBAPIError, on_surroundings)
    application.add_exception_handler(PoolTimeout, on_surroundings)
    application.add_exception_handler(OSError, on_surroundings)
    application.add_exception_handler(ClientDisconnect, on_client_gone)
    application.add_exception_handler(Exception, on_unexpected)
    # From the innermost outwards.
    application.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=4)  # but pictures, and live streams
    application.add_middleware(StudioMiddleware)
    if settings.cors:
        application.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors,
            allow_methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Prefer", "Last-Event-ID", "Range"],
            expose_headers=["Location", "Retry-After", "Preference-Applied", "X-Request-Id", "Content-Disposition"],
            max_age=3600,
        )
    application.add_middleware(KnownHosts, allowed_hosts=settings.hosts, www_redirect=False)
    application.add_middleware(Probes, routes=health.routes)
    application.add_middleware(HeadMiddleware)
    application.add_middleware(SubPath, prefix=settings.prefix)
    application.add_middleware(Forwarded, trusted=settings.trusted_proxies)
    return application
