"""Errors of the domain: what went wrong, in words for its reader, and the HTTP status that says so."""

from __future__ import annotations

from typing import Any, ClassVar

from models.contract.message import MessageError


class DomainError(MessageError):
    """Base of all. `message` is shown to the caller; without a template of its own it is the title."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"
    code: ClassVar[str] = "bad-request"  # for programs: the same in every language

    def __init__(
        self,
        template: str = "",
        /,
        *,
        errors: list[dict[str, Any]] | None = None,
        retry_after: int | None = None,
        **values: Any,
    ) -> None:
        super().__init__(template or self.title, **values)
        self.errors = errors or []
        self.retry_after = retry_after

    @property
    def in_full(self) -> str:
        """In one line, with what is wrong with which field; for a terminal."""
        fields = [(error.get("loc"), error.get("msg")) for error in self.errors]
        return "; ".join([self.message, *(f"{loc[-1]}: {msg}" for loc, msg in fields if isinstance(loc, list) and msg)])


class Unauthenticated(DomainError):
    status, title, code = 401, "Sign in first", "unauthenticated"


class Forbidden(DomainError):
    status, title, code = 403, "Not allowed", "forbidden"


class NotFound(DomainError):
    status, title, code = 404, "Not found", "not-found"


class Conflict(DomainError):
    status, title, code = 409, "Conflict", "conflict"


class TooLarge(DomainError):
    status, title, code = 413, "Too large", "too-large"


class UnsupportedMedia(DomainError):
    status, title, code = 415, "Unsupported media type", "unsupported-media"


class Invalid(DomainError):
    status, title, code = 422, "Invalid request", "invalid"


class OutOfRange(DomainError):
    status, title, code = 416, "The file has no such range", "out-of-range"


class TooMany(DomainError):
    status, title, code = 429, "Too many requests", "too-many"


class Unavailable(DomainError):
    status, title, code = 503, "Unavailable for the moment", "unavailable"


UNEXPECTED = "Something went wrong on our side; it is in the log"
DISK_IS_FULL = "The disk is full; nothing was saved"
FILE_IS_DAMAGED = (
    "The file of this work is damaged on the studio's disk; ask an admin to look at `danqing doctor --files`"
)


class StorageFull(DomainError):
    status, title, code = 507, "The storage is full", "storage-full"


class Damaged(DomainError):
    status, title, code = 500, "The file is damaged", "damaged"
