"""The API's description as its page shows it: operations by tag, fields with their types, what is sent and answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.web.openapi import METHODS
from models.contract.message import Message

TITLES = {
    "models": Message("Models"),
    "generations": Message("Jobs and live frames"),
    "artworks": Message("Works"),
    "uploads": Message("Uploads"),
    "datasets": Message("Datasets"),
    "training": Message("Training"),
    "checkpoints": Message("Checkpoints"),
    "users": Message("Users, keys, sessions"),
    "admin": Message("Administration"),
}
STREAM = "text/event-stream"
NAME = re.compile(r"[A-Z][A-Za-z]+")
Document = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """`place` is path, query, header or body; `type` in TypeScript's notation; `bounds` what else holds for a value."""

    name: str
    place: str
    type: str
    required: bool
    description: str
    bounds: str


@dataclass(frozen=True)
class Answer:
    status: str
    description: str
    type: str


@dataclass(frozen=True)
class Operation:
    """`body` is (media type, example) of what is sent."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    fields: list[Field]
    body: tuple[str, str] | None
    answers: list[Answer]
    is_stream: bool


@dataclass
class Section:
    tag: str
    title: Message
    operations: list[Operation] = field(default_factory=list)


@dataclass(frozen=True)
class Schema:
    name: str
    description: str
    fields: list[Field]


def sections(document: Document) -> list[Section]:
    found = {tag: Section(tag, title) for tag, title in TITLES.items()}
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            made = operation(document, method, path, item[method])
            found[item[method]["tags"][0]].operations.append(made)
    for section in found.values():
        section.operations.sort(key=lambda each: (each.path, each.method != "GET", each.method))
    return list(found.values())


def operation(document: Document, method: str, path: str, said: Document) -> Operation:
    parameters = [parameter(each) for each in said.get("parameters", [])]
    body, fields = sent(document, said)
    answers = [answer(status, each) for status, each in said["responses"].items() if status != "default"]
    return Operation(
        said["operationId"],
        method.upper(),
        path,
        said["summary"],
        first_paragraph(said.get("description", "")),
        [*parameters, *fields],
        body,
        answers,
        any(STREAM in each.get("content", {}) for each in said["responses"].values()),
    )


def parameter(said: Document) -> Field:
    schema = said["schema"]
    description = said.get("description") or schema.get("description", "")
    return Field(said["name"], said["in"], kind(schema), said["required"], description, bounds(schema))


def sent(document: Document, said: Document) -> tuple[tuple[str, str] | None, list[Field]]:
    content = said.get("requestBody", {}).get("content", {})
    for media, each in content.items():
        schema = resolved(document, each["schema"])
        example = (schema.get("examples") or [{}])[0]
        return (media, json.dumps(example, ensure_ascii=False, indent=2)), list(properties(schema, "body"))
    return None, []


def answer(status: str, said: Document) -> Answer:
    content = said.get("content", {})
    types: list[str] = []
    for media, each in content.items():
        schema = each.get("schema")
        types += events(schema) if media == STREAM else [kind(schema) if schema else media]
    description = said["description"]
    return Answer(status, "" if description == "Successful Response" else description, " | ".join(dict.fromkeys(types)))


def events(schema: Document) -> list[str]:
    """Such as `status: StatusEvent`."""
    known = [each["properties"] for each in schema["oneOf"]]
    return [f"{each['event']['const']}: {kind(each['data'])}" for each in known]


def schemas(document: Document) -> list[Schema]:
    """Those that operations name, and what those name."""
    return [
        Schema(name, first_paragraph(schema.get("description", "")), list(properties(schema, "")))
        for name, schema in sorted(document["components"]["schemas"].items())
        if schema.get("properties")
    ]


def properties(schema: Document, place: str) -> Iterator[Field]:
    required = schema.get("required", [])
    for name, each in schema.get("properties", {}).items():
        yield Field(name, place, kind(each), name in required, each.get("description", ""), bounds(each))


def resolved(document: Document, schema: Document) -> Document:
    if "$ref" in schema:
        return dict(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


def kind(schema: Document) -> str:
    """Its type, such as `ArtworkBrief[]` or `"newest" | "oldest"`."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(kind(each) for each in options))
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        inner = kind(schema["items"]) if "items" in schema else tuple_of(schema)
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
        return f"{{[name]: {kind(values)}}}" if isinstance(values, dict) and values else "object"
    if found := schema.get("format"):
        return "file" if found == "binary" else str(found)
    return str(schema.get("type", "any"))


def tuple_of(schema: Document) -> str:
    return f"[{', '.join(kind(each) for each in schema.get('prefixItems', []))}]"


def bounds(schema: Document) -> str:
    """Such as `≥ 1, ≤ 100, = 50`: signs need no language."""
    inner = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    found = inner[0] if len(inner) == 1 else schema
    low, high = found.get("minimum", found.get("exclusiveMinimum")), found.get("maximum", found.get("exclusiveMaximum"))
    parts = [f"≥ {low:g}"] if low is not None else []
    parts += [f"≤ {high:g}"] if high is not None else []
    parts += [f"length ≤ {found['maxLength']}"] if "maxLength" in found and found.get("type") == "string" else []
    parts += [f"items ≤ {found['maxItems']}"] if "maxItems" in found else []
    default = schema.get("default")
    parts += [f"= {json.dumps(default, ensure_ascii=False)}"] if default not in (None, {}, [], "") else []
    return ", ".join(parts)


def first_paragraph(text: str) -> str:
    """Of a docstring: what follows is for readers of the code."""
    return " ".join(text.partition("\n\n")[0].split())


def pieces(type_: str) -> list[tuple[str, bool]]:
    """(text, whether it is the name of a schema)."""
    found, end = list[tuple[str, bool]](), 0
    for match in NAME.finditer(type_):
        found += [(type_[end : match.start()], False), (match[0], True)]
        end = match.end()
    return [piece for piece in [*found, (type_[end:], False)] if piece[0]]


def strings(document: Document) -> set[str]:
    """All that its readers read in their language."""
    operations = [each for section in sections(document) for each in section.operations]
    known = schemas(document)
    said = {text for each in operations for text in (each.summary, each.description)}
    said |= {each.description for operation in operations for each in operation.fields}
    said |= {each.description for operation in operations for each in operation.answers}
    said |= {each.description for each in known} | {part.description for each in known for part in each.fields}
    return said - {""}
