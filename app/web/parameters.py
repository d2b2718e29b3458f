"""Types of path and query parameters that more than one feature uses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

from app.validation import OF_FIELDS, no_controls, uuid_text
from models.contract.message import Message

Id = Annotated[str, Path(max_length=36, json_schema_extra={"format": "uuid"}), AfterValidator(uuid_text)]


def true_or_false(value: object) -> object:
    """A flag in an address is `true` or `false`; "yes", "1" and "on" may be mistakes for something else."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError(Message(OF_FIELDS["bool_type"]))
    return value


def moment(value: object) -> object:
    """A date is its first moment in UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(
            Message("It is no date, such as 2026-01-31, and no time, such as 2026-01-31T12:00:00Z")
        ) from None
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found


Moment = Annotated[datetime, BeforeValidator(moment)]
Flag = Annotated[bool, BeforeValidator(true_or_false)]
Text = Annotated[str | None, Query(max_length=200), AfterValidator(no_controls)]
OptionalId = Annotated[str | None, Query(max_length=36), AfterValidator(lambda value: value and uuid_text(value))]
