"""Answers with a file from the storage, or with the one part of it that is asked for (RFC 9110, 14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import Annotated, Any

from fastapi import Query, Request, Response, status
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.errors import OutOfRange
from app.storage import get_storage
from app.web.responses import error_response

BLOCK = 256 << 10
RANGES = re.compile(r"bytes=(.*)", re.IGNORECASE)
RANGE = re.compile(r"([0-9]{0,1000})-([0-9]{0,1000})")
MOST_RANGES = 100  # of one header; more are as no header
ANSWERS: dict[int | str, dict[str, Any]] = {
    206: {"description": "The part that `Range` asks for"},
    304: {"description": "It is what `If-None-Match` names"},
    416: {"description": "It has no such part"},
}
FOREVER = "private, max-age=31536000, immutable"  # of a file that is named by what does not change
PREVIEW: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": {"image/webp": {}}}}}
Size = Annotated[int, Query(ge=16, le=1024, description="Pixels that the longer side has, about")]


class PartOfFile(StreamingResponse):
    """Of an open file, which is closed however the answer ends."""

    def __init__(self, file: BufferedReader, part: range, code: int, media_type: str, headers: dict[str, str]) -> None:
        headers = {**headers, "Content-Length": str(len(part))}
        super().__init__(blocks(file, part), code, headers, media_type)
        self.file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.file.close()


def file_response(
    request: Request, digest: str | None, content: Callable[[], bytes], media_type: str, headers: dict[str, str]
) -> Response:
    """`content()` reads the file whole, and says in the words of its kind that it is missing. Raises Damaged too."""
    headers = {**headers, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
    if is_known(request, headers):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    if file := large(digest):
        size = file.seek(0, 2)
    else:
        whole = content()
        size = len(whole)
    part = asked_for(request, size, headers["ETag"])
    if part is None:
        part, code = range(size), status.HTTP_200_OK
    elif part:
        code = status.HTTP_206_PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    else:
        if file:
            file.close()
        refused = error_response(request.scope, OutOfRange("The file has {size} bytes", size=size))
        refused.headers.update({"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
        return refused
    if file:
        return PartOfFile(file, part, code, media_type, headers)
    return Response(whole[part.start : part.stop], code, headers, media_type)


def preview_response(request: Request, digest: str, size: int, content: Callable[[], bytes]) -> Response:
    """A WebP of the picture with this SHA-256."""
    headers = {"Cache-Control": FOREVER, "ETag": f'"{digest}-{size}"'}
    if is_known(request, headers):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(content(), media_type="image/webp", headers=headers)


def large(digest: str | None) -> BufferedReader | None:
    """The file, open, when it is one to be read in parts."""
    try:
        return get_storage().opened(digest or "")
    except FileNotFoundError:
        return None


def is_known(request: Request, headers: dict[str, str]) -> bool:
    """Whether the client has what would be sent."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return headers["ETag"] in tags


def asked_for(request: Request, size: int, tag: str) -> range | None:
    """Where the one part lies that is asked for, empty when nothing that is asked for is there; None for the whole.

    The whole answers several parts at once, what is no range, and a range of another file than this (`If-Range`).
    """
    ranges = RANGES.fullmatch(request.headers.get("range", "").strip())
    if ranges is None or request.headers.get("if-range", tag) != tag:
        return None
    listed = [each.strip(" \t") for each in ranges[1].split(",")[: MOST_RANGES + 1]]
    parts = [part_of(each, size) for each in listed if each]  # a list may have empty places (RFC 9110, 5.6.1)
    found = [part for part in parts if part is not None]
    if not parts or len(found) < len(parts) or len(listed) > MOST_RANGES:
        return None
    if len(found) == 1 or not any(found):
        return found[0]
    return None


def part_of(text: str, size: int) -> range | None:
    """None for what is no range."""
    matched = RANGE.fullmatch(text)
    if matched is None:
        return None
    first, last = matched.groups()
    if first:
        if last and int(last) < int(first):
            return None
        return range(int(first), min(int(last) + 1, size) if last else size)
    if not last or (size == 0 and int(last)):
        return None
    return range(max(0, size - int(last)), size)


def blocks(file: BufferedReader, part: range) -> Iterator[bytes]:
    file.seek(part.start)
    left = len(part)
    while left and (block := file.read(min(BLOCK, left))):
        left -= len(block)
        yield block
