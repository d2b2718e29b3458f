"""The API's description: what the framework knows of it, and what holds for every operation."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from app.security import COOKIE
from app.web.responses import ProblemResponse

METHODS = {"get", "put", "post", "patch", "delete"}
SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, dq_..."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Of a browser that is signed in"},
}


class FieldProblem(BaseModel):
    loc: list[str | int] = Field(description="Where in the request")
    msg: str
    type: str | None = None


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = Field(description="In words for a reader, in the language of Accept-Language")
    errors: list[FieldProblem] = Field(description="What is wrong with which field")


def description(application: FastAPI, base: str = "") -> dict[str, Any]:
    """The same, for who asks under the path `base`."""
    return {**described(application), "servers": [{"url": base or "/"}]}


@cache
def described(application: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1. Streams are described as 3.2 does (`itemSchema`), which 3.1 does not know."""
    document = application.openapi()
    schemas = document["components"]["schemas"]
    own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**own.pop("$defs"), "Problem": own}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = SCHEMES
    problem = {"content": {ProblemResponse.media_type: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for item in document["paths"].values():
        for operation in (item[method] for method in METHODS & item.keys()):
            operation.setdefault("security", [{scheme: []} for scheme in SCHEMES])
            answers = operation["responses"]
            answers.pop("422", None)
            for status, answer in answers.items():
                if status[0] in "45":
                    answer |= problem
                for media in answer.get("content", {}).values():
                    if "itemSchema" in media:
                        media["schema"] = media.pop("itemSchema")
            answers["default"] = {"description": "What went wrong", **problem}
    return document
