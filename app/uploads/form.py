"""A form with one file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile

from app.errors import Invalid
from app.web.lanes import RECEIVING

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
OPENAPI = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": SCHEMA}}}}


@asynccontextmanager
async def received(request: Request, who: str) -> AsyncIterator[tuple[BinaryIO, str]]:
    """(file, its name), once all of it has come. Raises Invalid; Unavailable where `who` sends too many at once.

    An endpoint calls it, and not the framework, which would store the form before it asks who sends it.
    """
    async with RECEIVING.place(who), request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Invalid("The form needs a file", errors=[{"loc": ["body", "file"]}])
        yield file.file, file.filename or ""
