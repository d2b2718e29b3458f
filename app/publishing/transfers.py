"""/api/v1/checkpoints/transfers: files of a checkpoint that come in pieces, and go on after a connection was lost.

In the manner of tus (https://tus.io): `PATCH` with `Upload-Offset` adds to a file, and says where it ends.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Body, Header, Path, Request, Response, status
from pydantic import BaseModel, Field

from app.checkpoints import transfers
from app.checkpoints.importing import MAX_BYTES, MAX_FILES
from app.checkpoints.transfers import KEY, Transfer, WrongOffset
from app.users.deps import Admin
from app.web.lanes import RECEIVING, WRITING
from app.web.responses import error_response
from app.web.routing import Router

router = Router(prefix="/checkpoints/transfers", tags=["checkpoints"])
Key = Annotated[str, Path(pattern=f"^{KEY}$")]
Number = Annotated[int, Path(ge=0, lt=MAX_FILES)]
OCTETS = "application/octet-stream"


class FileIn(BaseModel):
    """`name` is as the file lies in its folder: `unet/config.json`."""

    name: str = Field(min_length=1, max_length=300)
    size: int = Field(ge=0, le=MAX_BYTES, description="Bytes")
    mark: str = Field(
        "", max_length=128, description="Tells its content from another of this name and size: a hash, or its date"
    )


class FileOut(BaseModel):
    name: str
    size: int
    received: int = Field(description="Bytes that are here")


FilesIn = Annotated[list[FileIn], Body(embed=True, min_length=1, max_length=MAX_FILES)]


class TransferOut(BaseModel):
    id: str
    files: list[FileOut]

    @classmethod
    def of(cls, found: Transfer) -> TransferOut:
        files = [
            FileOut(name=name, size=size, received=found.received(i)) for i, (name, size) in enumerate(found.files)
        ]
        return cls(id=found.id, files=files)


@router.post("", status_code=status.HTTP_201_CREATED, summary="Say which files will come")
def begin(admin: Admin, response: Response, files: FilesIn) -> TransferOut:
    """One of the same files that has begun goes on. What nobody adds to for a day is deleted."""
    found = transfers.begin(admin, [(file.name, file.size, file.mark) for file in files])
    response.headers["Location"] = f"/api/v1/checkpoints/transfers/{found.id}"
    return TransferOut.of(found)


@router.get("/{key}", summary="What of it is here")
def show(admin: Admin, key: Key) -> TransferOut:
    return TransferOut.of(transfers.get(admin, key))


@router.patch(
    "/{key}/files/{number}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Add a piece to a file",
    openapi_extra={
        "requestBody": {"required": True, "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
    },
    responses={409: {"description": "It does not go on where the last piece ended"}},
)
async def append(
    admin: Admin,
    request: Request,
    key: Key,
    number: Number,
    upload_offset: Annotated[int, Header(ge=0)],
) -> Response:
    """`number` counts the files as they were said, from 0. A piece has at most 32 MiB, and is kept whole or not."""
    async with RECEIVING.place(admin.id):
        piece = await request.body()
    found = transfers.get(admin, key)
    try:
        end = await WRITING.run(admin.id, partial(transfers.append, found, number, upload_offset, piece))
        answer = Response(status_code=status.HTTP_204_NO_CONTENT)
    except WrongOffset as error:
        end, answer = error.received, error_response(request.scope, error)
    answer.headers["Upload-Offset"] = str(end)
    return answer


@router.delete("/{key}", status_code=status.HTTP_204_NO_CONTENT, summary="Forget what of it is here")
def forget(admin: Admin, key: Key) -> None:
    transfers.forget(transfers.get(admin, key))
