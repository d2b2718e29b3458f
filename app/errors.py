"""Errors of the domain: what went wrong, in words for its reader, and the HTTP status that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from pydantic import ValidationError


class DomainError(Exception):
    """Base of all. `detail` is shown to the caller."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"

    def __init__(
        self, detail: str = "", *, errors: list[dict[str, object]] | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors or []
        self.retry_after = retry_after

    @property
    def in_full(self) -> str:
        """In one line, with what is wrong with which field; for a terminal."""
        fields = [(error.get("loc"), error.get("msg")) for error in self.errors]
        return "; ".join([self.detail, *(f"{loc[-1]}: {msg}" for loc, msg in fields if isinstance(loc, list) and msg)])


class Unauthenticated(DomainError):
    status, title = 401, "Sign in first"


class Forbidden(DomainError):
    status, title = 403, "Not allowed"


class NotFound(DomainError):
    status, title = 404, "Not found"


class Conflict(DomainError):
    status, title = 409, "Conflict"


class TooLarge(DomainError):
    status, title = 413, "Too large"


class UnsupportedMedia(DomainError):
    status, title = 415, "Unsupported media type"


class Invalid(DomainError):
    status, title = 422, "Invalid request"


class OutOfRange(DomainError):
    status, title = 416, "The file has no such part"


class TooMany(DomainError):
    status, title = 429, "Too many requests"


class Unavailable(DomainError):
    status, title = 503, "Unavailable for the moment"


UNEXPECTED = "Something went wrong on our side; it is in the log"
DISK_IS_FULL = "The disk is full; nothing was saved"
FILE_IS_DAMAGED = (
    "The file of this work is damaged on the studio's disk; ask an admin to look at `danqing doctor --files`"
)


class StorageFull(DomainError):
    status, title = 507, "The storage is full"


class Damaged(DomainError):
    status, title = 500, "The file is damaged"


def sentence(problem: Mapping[str, Any]) -> str:
    """What pydantic says of a field, in words also where it would show a pattern."""
    if problem["type"] == "string_pattern_mismatch":
        return "Some of its characters are not allowed"
    if problem["type"] == "missing":
        return "Fill this in"
    return str(problem["msg"]).removeprefix("Value error, ")


@contextmanager
def entered() -> Iterator[None]:
    """What a class refuses of a form's entries is Invalid: the first problem alone, for a form shows one at a time."""
    try:
        yield
    except ValidationError as error:
        raise Invalid(sentence(error.errors()[0])) from error


def invalid_params(error: ValidationError, part: str = "params") -> Invalid:
    """A family's parameters that its own class refuses, each problem by its field."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return Invalid(
        "Some parameters are not valid",
        errors=[{"loc": ["body", part, *p["loc"]], "msg": sentence(p), "type": p["type"]} for p in problems],
    )
