"""What each address of the API takes: its methods, for `Allow`, and the names of a route's query parameters."""

from __future__ import annotations

import re
from functools import cache

from fastapi import FastAPI
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from app.web.openapi import METHODS, described


@cache
def addresses(application: FastAPI) -> list[tuple[re.Pattern[str], str]]:
    """(pattern, methods), by the API's description; those without parameters first, as the router has it:
    /datasets/starters is no dataset.
    """
    made = []
    paths = described(application)["paths"]
    for path in sorted(paths, key=lambda path: path.count("{")):
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        found = {method.upper() for method in METHODS & paths[path].keys()}
        made.append((pattern, ", ".join(sorted({*found, "OPTIONS", *(["HEAD"] if "GET" in found else [])}))))
    return made


def allowed(application: FastAPI, path: str) -> str | None:
    """None outside of the API."""
    if not path.startswith("/api/"):
        return None
    return next((methods for pattern, methods in addresses(application) if pattern.fullmatch(path)), None)


def query_parameters(route: APIRoute) -> frozenset[str]:
    fields = get_flat_params(route.dependant)
    return frozenset(field.alias for field in fields if isinstance(field.field_info, Query))
