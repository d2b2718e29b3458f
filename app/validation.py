"""Fields: types that more than one feature uses, and what is said of one that is not valid."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from app.errors import Invalid
from models.contract.card import LONGEST_NAME, NAME
from models.contract.message import Message


def uuid_text(value: str) -> str:
    """Canonical text of a UUID, so that every lookup sees one spelling."""
    try:
        return str(uuid.UUID(value))
    except ValueError as error:
        raise ValueError("must be a UUID") from error


def no_controls(value: str | None) -> str | None:
    if value and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("must not hold NUL or unpaired surrogates")
    return value


Slug = Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST_NAME)]
Identifier = Annotated[str, Field(json_schema_extra={"format": "uuid"})]  # one of ours
Uuid = Annotated[Identifier, AfterValidator(uuid_text)]

# What is said of a field, by pydantic's type of what is wrong; filled in from its context.
OF_FIELDS = {
    "missing": "Fill this in",
    "extra_forbidden": "There is no such field",
    "json_invalid": "This is not JSON: {error}",
    "string_type": "This has to be text",
    "string_pattern_mismatch": "Some of its characters are not allowed",
    "string_too_short": "This needs at least {min_length} characters",
    "string_too_long": "This may have at most {max_length} characters",
    "too_short": "This needs at least {min_length} entries",
    "too_long": "This may have at most {max_length} entries",
    "int_type": "This has to be a whole number",
    "int_parsing": "This has to be a whole number",
    "int_parsing_size": "The number is too large",
    "int_from_float": "This has to be a whole number",
    "float_type": "This has to be a number",
    "float_parsing": "This has to be a number",
    "finite_number": "This has to be a finite number",
    "bool_type": "This has to be true or false",
    "bool_parsing": "This has to be true or false",
    "list_type": "This has to be a list",
    "dict_type": "This has to be an object",
    "model_type": "This has to be an object",
    "model_attributes_type": "This has to be an object",
    "literal_error": "This has to be {expected}",
    "greater_than": "This has to be greater than {gt}",
    "greater_than_equal": "This has to be at least {ge}",
    "less_than": "This has to be less than {lt}",
    "less_than_equal": "This has to be at most {le}",
    "multiple_of": "This has to be a multiple of {multiple_of}",
}


def of_field(problem: Mapping[str, Any]) -> Message:
    """What is wrong with a field: a validator's own words, else ours, else pydantic's."""
    context = problem.get("ctx") or {}
    if problem["type"] == "value_error":
        return Message(*context["error"].args[:1])
    if context.get("min_length") == 1:
        return Message(OF_FIELDS["missing"])
    kind = problem["type"]
    if context.get("field_type") == "Value":  # a text that was looked at before its length was
        kind = f"string_{kind}"
    if template := OF_FIELDS.get(kind):
        return Message(template, **{name: plain(value) for name, value in context.items() if f"{{{name}}}" in template})
    return Message(problem["msg"])


def plain(value: Any) -> Any:
    """A bound as one would write it: 4, not 4.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@contextmanager
def entered() -> Iterator[None]:
    """What a class refuses of a form's entries is Invalid: the first problem alone, for a form shows one at a time."""
    try:
        yield
    except ValidationError as error:
        raise Invalid(of_field(error.errors()[0])) from error


def invalid_params(error: ValidationError, part: str = "params") -> Invalid:
    """A family's parameters that its own class refuses, each problem by its field."""
    problems = error.errors(include_url=False, include_input=False)
    return Invalid(
        "Some parameters are not valid",
        errors=[{"loc": ["body", part, *p["loc"]], "msg": of_field(p), "type": p["type"]} for p in problems],
    )
