"""/api/v1/uploads"""

from __future__ import annotations

from fastapi import APIRouter, Response, UploadFile, status

from app.database import session_scope
from app.deps import User
from app.errors import TooLarge
from app.settings import get_settings
from app.uploads import service
from app.uploads.schemas import UploadOut
from app.validation import Id

router = APIRouter(prefix="/uploads", tags=["uploads"])


@router.post("", status_code=status.HTTP_201_CREATED, summary="Upload an input picture")
def upload(user: User, file: UploadFile) -> UploadOut:
    most = get_settings().max_upload_mib << 20
    content = file.file.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"The file is larger than {get_settings().max_upload_mib} MiB")
    with session_scope() as session:
        return UploadOut.model_validate(service.add(session, user, content, file.filename or ""))


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
