"""/api/v1/uploads"""

from __future__ import annotations

from typing import BinaryIO

from fastapi import APIRouter, Request, Response, status
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.database import session_scope
from app.deps import User
from app.errors import Invalid, TooLarge
from app.settings import get_settings
from app.uploads import service
from app.uploads.schemas import UploadOut
from app.users.service import Principal
from app.validation import Id

router = APIRouter(prefix="/uploads", tags=["uploads"])
FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Upload an input picture",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
)
async def upload(user: User, request: Request) -> UploadOut:
    """The form is read here, and not by the framework, which would store it before it asks who sends it."""
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Invalid("The form needs a file", errors=[{"loc": ["body", "file"]}])
        return await run_in_threadpool(add, user, file.file, file.filename or "")


def add(user: Principal, file: BinaryIO, name: str) -> UploadOut:
    most = get_settings().max_upload_mib << 20
    content = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"The file is larger than {get_settings().max_upload_mib} MiB")
    with session_scope() as session:
        return UploadOut.model_validate(service.add(session, user, content, name))


@router.get("/{upload_id}", summary="One upload")
def get_upload(user: User, upload_id: Id) -> UploadOut:
    with session_scope(writing=False) as session:
        return UploadOut.model_validate(service.get(session, user, upload_id))


@router.get(
    "/{upload_id}/file",
    summary="The picture, as it was kept",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def get_upload_file(user: User, upload_id: Id) -> Response:
    with session_scope(writing=False) as session:
        found = service.get(session, user, upload_id)
    return Response(service.content(found), media_type=found.media_type)
