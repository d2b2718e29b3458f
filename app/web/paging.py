"""Keyset cursors: the 1,000th page costs what the first does."""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Annotated

from fastapi import Query

from app.errors import Invalid

Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=100, description="Items a page")]


def encode(identifier: str) -> str:
    return base64.urlsafe_b64encode(uuid.UUID(identifier).bytes).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """The id that the page before ended with. Raises Invalid."""
    if cursor is None:
        return None
    try:
        return str(uuid.UUID(bytes=base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except (ValueError, binascii.Error) as error:
        raise Invalid("The cursor is not valid", errors=[{"loc": ["query", "cursor"]}]) from error
