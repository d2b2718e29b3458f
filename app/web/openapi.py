"""The API's description: what the framework knows of it, and what holds for every operation."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field, TypeAdapter

from app.security import COOKIE
from app.web.responses import ProblemResponse

EVENTS = "x-events"
METHODS = {"get", "put", "post", "patch", "delete"}
SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, dq_..."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Of a browser that is signed in"},
}


REF = "#/components/schemas/{model}"


def events(**types: Any) -> dict[str, Any]:
    """`openapi_extra` of a stream of server-sent events: of what type the data of each is."""
    data, schemas = dict[str, Any](), dict[str, Any]()
    for name, type_ in types.items():
        schema = TypeAdapter(type_).json_schema(ref_template=REF, mode="serialization")
        schemas |= schema.pop("$defs", {})
        if isinstance(type_, type) and issubclass(type_, BaseModel):
            schemas[type_.__name__], schema = schema, {"$ref": REF.format(model=type_.__name__)}
        data[name] = schema
    return {EVENTS: {"data": data, "schemas": schemas}}


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


def one_of(data: dict[str, Any]) -> dict[str, Any]:
    """An event of a stream: its name, and its data as JSON."""
    options = [
        {"type": "object", "required": ["event", "data"], "properties": {"event": {"const": name}, "data": schema}}
        for name, schema in data.items()
    ]
    return {"oneOf": options}


@cache
def described(application: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1. Streams are described as 3.2 does (`itemSchema`), which 3.1 does not know."""
    document = application.openapi()
    schemas = document["components"]["schemas"]
    own = Problem.model_json_schema(ref_template=REF)
    schemas |= {**own.pop("$defs"), "Problem": own}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = SCHEMES
    problem = {"content": {ProblemResponse.media_type: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for item in document["paths"].values():
        for operation in (item[method] for method in METHODS & item.keys()):
            operation.setdefault("security", [{scheme: []} for scheme in SCHEMES])
            answers = operation["responses"]
            if told := operation.pop(EVENTS, None):
                schemas |= {name: part for name, part in told["schemas"].items() if name not in schemas}
                answers["200"]["content"] = {"text/event-stream": {"schema": one_of(told["data"])}}
            answers.pop("422", None)
            for status, answer in answers.items():
                if status[0] in "45":
                    answer |= problem
                for media in answer.get("content", {}).values():
                    if "itemSchema" in media:
                        media["schema"] = media.pop("itemSchema")
            answers["default"] = {"description": "What went wrong", **problem}
    return document
