"""/api/v1/uploads"""

from __future__ import annotations

from functools import partial

from fastapi import Request, Response, status

from app.database import session_scope
from app.media import TYPES, scores
from app.media.listening import Listening, listening
from app.security import Principal
from app.uploads import quota, service
from app.uploads.form import OPENAPI, received
from app.uploads.schemas import UploadedOut, UploadList, UploadOut
from app.users.deps import User
from app.web.files import ANSWERS, PREVIEW, Size, file_response, preview_response
from app.web.lanes import DECODING, WRITING
from app.web.paging import Cursor, Limit, decode, encode
from app.web.parameters import Id
from app.web.routing import Router

router = Router(prefix="/uploads", tags=["uploads"])


@router.post("", status_code=status.HTTP_201_CREATED, summary="Upload what to work from", openapi_extra=OPENAPI)
async def upload(user: User, request: Request) -> UploadedOut:
    """A picture; by its name also MIDI, MusicXML, ABC or a text."""
    async with received(request, user.id) as (file, name):
        found = await DECODING.run(user.id, partial(service.receive, file, name))
    return await WRITING.run(user.id, partial(add, user, found, name))


def add(user: Principal, found: service.Received, name: str) -> UploadedOut:
    with session_scope() as session:
        made = UploadedOut.model_validate(service.add(session, user, found, name))
        return made.model_copy(update={"remark": found.kept.remark})


@router.get("", summary="Own uploads, the newest first")
def list_uploads(user: User, cursor: Cursor = None, limit: Limit = 50) -> UploadList:
    with session_scope(writing=False) as session:
        found, more = service.page(session, user, decode(cursor), limit)
        return UploadList(
            items=[UploadOut.model_validate(upload) for upload in found],
            next_cursor=encode(more) if more else None,
            used_bytes=quota.used(session, user.id),
            limit_bytes=quota.limit_bytes(),
        )


@router.get("/{upload_id}", summary="One upload")
def get_upload(user: User, upload_id: Id) -> UploadOut:
    with session_scope(writing=False) as session:
        return UploadOut.model_validate(service.get(session, user, upload_id))


@router.get(
    "/{upload_id}/file",
    summary="The file, as it was kept",
    response_class=Response,
    responses={200: {"content": TYPES}, **ANSWERS},
)
def get_upload_file(request: Request, user: User, upload_id: Id) -> Response:
    with session_scope(writing=False) as session:
        found = service.get(session, user, upload_id)
    return file_response(request, found.sha256, lambda: service.content(found), found.media_type, {})


@router.get("/{upload_id}/preview", summary="A WebP of about this size", **PREVIEW)
def get_upload_preview(request: Request, user: User, upload_id: Id, size: Size = 128) -> Response:
    with session_scope(writing=False) as session:
        found = service.get(session, user, upload_id)
    return preview_response(request, found.sha256, size, lambda: service.preview(found, size))


@router.get(
    "/{upload_id}/notes",
    summary="A piece of music note by note",
    responses={409: {"description": "The upload is no music"}},
)
def get_upload_notes(user: User, upload_id: Id) -> Listening:
    with session_scope(writing=False) as session:
        found = service.get(session, user, upload_id)
    return listening(scores.score_in(service.content(found), found.media_type))


@router.delete("/{upload_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete an upload")
def delete_upload(user: User, upload_id: Id) -> None:
    """Works that were made from it stay; a job that still waits for it will fail."""
    with session_scope() as session:
        service.delete(session, user, upload_id)
