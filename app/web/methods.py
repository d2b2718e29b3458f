"""What each address of the API takes, by its own description: methods for `Allow`, and names of query parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from fastapi import FastAPI

from app.web.openapi import METHODS, described


@dataclass(frozen=True)
class Address:
    """The query parameters of each of its methods."""

    pattern: re.Pattern[str]
    parameters: dict[str, frozenset[str]]

    @property
    def methods(self) -> list[str]:
        found = [method.upper() for method in self.parameters]
        return sorted({*found, "OPTIONS", *(["HEAD"] if "GET" in found else [])})


@cache
def addresses(application: FastAPI) -> list[Address]:
    """Those without parameters first, as the router has it: /datasets/starters is no dataset."""
    made = []
    paths = described(application)["paths"]
    for path in sorted(paths, key=lambda path: path.count("{")):
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        parameters = {
            method: frozenset(
                each["name"] for each in paths[path][method].get("parameters", []) if each["in"] == "query"
            )
            for method in METHODS & paths[path].keys()
        }
        made.append(Address(pattern, parameters))
    return made


def address_of(application: FastAPI, path: str) -> Address | None:
    """None outside of the API."""
    if not path.startswith("/api/"):
        return None
    return next((each for each in addresses(application) if each.pattern.fullmatch(path)), None)


def unknown_parameters(application: FastAPI, method: str, path: str, given: set[str]) -> list[str]:
    """Query parameters that the address does not have."""
    address = address_of(application, path)
    known = address.parameters.get("get" if method == "HEAD" else method.lower()) if address else None
    return [] if known is None else sorted(given - known)
