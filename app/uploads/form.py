"""A form with one file."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from app.errors import Invalid, TooLarge
from app.settings import get_settings

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
OPENAPI = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": SCHEMA}}}}


async def read_file(request: Request) -> tuple[bytes, str]:
    """(content, file name). Raises Invalid or TooLarge.

    An endpoint calls it, and not the framework, which would store the form before it asks who sends it.
    """
    most = get_settings().max_upload_mib << 20
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Invalid("The form needs a file", errors=[{"loc": ["body", "file"]}])
        content = await file.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"The file is larger than {get_settings().max_upload_mib} MiB")
    return content, file.filename or ""
