"""Routers whose endpoints run in the lane of their kind: see `app.web.lanes`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from app.security import SAFE_METHODS, Principal
from app.web.lanes import READING, WRITING, Lane


class LaneRoute(APIRoute):
    """A route whose plain function runs in a thread of its lane: READING, or WRITING for unsafe methods, or its own."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint) and not inspect.isasyncgenfunction(endpoint):
            usual = READING if set(options.get("methods") or ["GET"]) <= SAFE_METHODS else WRITING
            endpoint = in_lane(endpoint, getattr(endpoint, "lane", usual))
        super().__init__(path, endpoint, **options)


def in_lane(endpoint: Callable[..., Any], lane: Lane) -> Callable[..., Any]:
    @functools.wraps(endpoint)
    async def run(*args: Any, **given: Any) -> Any:
        return await lane.run(whose(given), functools.partial(endpoint, *args, **given))

    return run


def whose(given: dict[str, Any]) -> str:
    """Whose share of the lane a call takes: its user's, else that of the address that it comes from."""
    for value in given.values():
        if isinstance(value, Principal):
            return value.id
    for value in given.values():
        if isinstance(value, Request):
            user = getattr(value.state, "user", None)
            return user.id if user else f"address {value.client.host if value.client else ''}"
    return ""


class Router(APIRouter):
    """FastAPI's, with lanes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": LaneRoute, **options})
