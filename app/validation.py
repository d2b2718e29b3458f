"""Types of fields that more than one feature uses."""

from __future__ import annotations

import uuid
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from models.contract.card import LONGEST_NAME, NAME


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
Uuid = Annotated[str, AfterValidator(uuid_text)]
