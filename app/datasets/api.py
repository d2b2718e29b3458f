"""/api/v1/datasets: made and changed by admins; shared ones are read by everyone."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, TypeVar

from fastapi import Query, Request, Response, status
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from app.database import session_scope
from app.datasets import fetching, service
from app.datasets.imports import add_files
from app.datasets.schemas import (
    DatasetChange,
    DatasetIn,
    DatasetList,
    DatasetOut,
    FetchOut,
    ImportOut,
    ItemChange,
    ItemList,
    ItemOut,
    ItemSelection,
    ItemSelectionOut,
    StarterList,
    State,
    Statistics,
)
from app.datasets.tables import DatasetItem
from app.errors import Forbidden, Invalid, NotFound
from app.i18n import language_of, translate
from app.media import TYPES, suffix_of
from app.media.previews import cached_preview
from app.users.deps import Admin, User
from app.web.files import ANSWERS, FOREVER, PREVIEW, Size, file_response, preview_response
from app.web.lanes import IMPORTING, READING, lane
from app.web.paging import Cursor, Limit, decode, encode
from app.web.parameters import Id, Text
from app.web.responses import attachment
from app.web.routing import Router
from models.contract.message import Message

router = Router(prefix="/datasets", tags=["datasets"])
FILES = {
    "type": "object",
    "required": ["files"],
    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
MAX_FILES = 1000


@router.post("", status_code=status.HTTP_201_CREATED, summary="Make a dataset")
def create_dataset(admin: Admin, wanted: DatasetIn) -> DatasetOut:
    with session_scope() as session:
        return service.described(session, service.create(session, admin, wanted))


@router.get("", summary="List datasets")
def list_datasets(user: User, cursor: Cursor = None, limit: Limit = 50) -> DatasetList:
    with session_scope(writing=False) as session:
        found, more = service.page(session, decode(cursor), limit, everything=user.is_admin)
        return DatasetList(items=found, next_cursor=encode(more) if more else None)


Result = TypeVar("Result", bound=ImportOut)


def in_language(request: Request, result: Result) -> Result:
    for each in result.told:
        each.reason = Message(translate(language_of(request), each.reason))
    return result


@router.get("/starters", summary="Starter collections, and which of them are here")
def list_starters(request: Request, admin: Admin) -> StarterList:
    language = language_of(request)
    with session_scope(writing=False) as session:
        found = fetching.offers(session)
    return StarterList(
        items=[each.model_copy(update={"error": translate(language, each.error) or None}) for each in found]
    )


@router.post("/starters/{name}", summary="Fetch a starter collection")
@lane(IMPORTING)
def fetch_starter(request: Request, admin: Admin, name: fetching.StarterName) -> FetchOut:
    """Fetches public packages, then answers when everything was looked at. Again, it passes over what is there."""
    return in_language(request, fetching.fetch(name, admin))


@router.get("/{dataset_id}", summary="One dataset")
def get_dataset(user: User, dataset_id: Id) -> DatasetOut:
    with session_scope(writing=False) as session:
        return service.described(session, service.seen(session, user, dataset_id))


@router.patch("/{dataset_id}", summary="Change name, description or visibility")
def change_dataset(admin: Admin, dataset_id: Id, wanted: DatasetChange) -> DatasetOut:
    with session_scope() as session:
        return service.described(session, service.change(session, service.get(session, dataset_id, lock=True), wanted))


@router.delete("/{dataset_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a dataset and its items")
def delete_dataset(admin: Admin, dataset_id: Id) -> None:
    with session_scope() as session:
        service.remove(session, service.get(session, dataset_id, lock=True))


@router.get("/{dataset_id}/statistics", summary="Count, sizes, colours, words, version")
def get_statistics(admin: Admin, dataset_id: Id) -> Statistics:
    with session_scope(writing=False) as session:
        return service.statistics(session, service.get(session, dataset_id))


@router.get(
    "/{dataset_id}/export",
    summary="Everything as a zip in the imagefolder convention",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
def export_dataset(admin: Admin, dataset_id: Id) -> StreamingResponse:
    with session_scope(writing=False) as session:
        dataset = service.get(session, dataset_id)
    headers = attachment(f"{dataset.name}.zip")
    return StreamingResponse(service.export(dataset), media_type="application/zip", headers=headers)


# --- items ----------------------------------------------------------------------------------------------------------


@router.post(
    "/{dataset_id}/items",
    summary="Add files of the dataset's kind, captions and zip archives of them",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILES}}}},
)
async def add_items(admin: Admin, dataset_id: Id, request: Request) -> ImportOut:
    """Answers when everything was looked at. The same upload again skips what is there: after a cut, send it anew.

    The form is read here, and not by the framework, which would store gigabytes before it asks who sends them.
    """
    await READING.run(admin.id, partial(exists, dataset_id))
    async with IMPORTING.place(admin.id), request.form(max_files=MAX_FILES, max_fields=10) as form:
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        if not files:
            raise Invalid("The form needs files", errors=[{"loc": ["body", "files"]}])
        opened = [(file.filename or "", file.file) for file in files]
        result = await IMPORTING.in_thread(partial(add_files, dataset_id, opened))
        return in_language(request, result)


def exists(dataset_id: str) -> None:
    with session_scope(writing=False) as session:
        service.get(session, dataset_id)


@router.get("/{dataset_id}/items", summary="List items, or refused files")
def list_items(
    user: User,
    dataset_id: Id,
    state: Annotated[State | None, Query(description="Without one: all that was kept")] = None,
    q: Text = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ItemList:
    with session_scope(writing=False) as session:
        dataset = service.seen(session, user, dataset_id)
        if state == "refused" and not user.is_admin:
            raise Forbidden("Only admins see what was refused")
        found, more = service.items(session, dataset.id, state, q, decode(cursor), limit)
        return ItemList(
            items=[ItemOut.model_validate(item) for item in found], next_cursor=encode(more) if more else None
        )


@router.post("/{dataset_id}/items/selection", summary="Change the captions of many items, or delete them")
def change_items(admin: Admin, dataset_id: Id, wanted: ItemSelection) -> ItemSelectionOut:
    with session_scope() as session:
        return service.change_items(session, service.get(session, dataset_id, lock=True), wanted)


@router.get(
    "/{dataset_id}/items/{item_id}/file",
    summary="The file as it is kept",
    response_class=Response,
    responses={200: {"content": TYPES}, **ANSWERS},
)
def get_item_file(request: Request, user: User, dataset_id: Id, item_id: Id) -> Response:
    with session_scope(writing=False) as session:
        service.seen(session, user, dataset_id)
        item: DatasetItem = service.item(session, dataset_id, item_id)
    name = f"{PurePosixPath(item.name).stem}{suffix_of(item.media_type)}"
    headers = {**attachment(name), "Cache-Control": FOREVER}
    return file_response(request, item.sha256, lambda: service.content(item), item.media_type, headers)


@router.patch("/{dataset_id}/items/{item_id}", summary="Change a caption")
def change_item(admin: Admin, dataset_id: Id, item_id: Id, wanted: ItemChange) -> ItemOut:
    with session_scope() as session:
        item = service.item(session, dataset_id, item_id, lock=True)
        return ItemOut.model_validate(service.change_item(item, wanted))


@router.delete("/{dataset_id}/items/{item_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete an item")
def delete_item(admin: Admin, dataset_id: Id, item_id: Id) -> None:
    with session_scope() as session:
        service.remove_item(session, service.item(session, dataset_id, item_id, lock=True))


@router.get(
    "/{dataset_id}/items/{item_id}/preview",
    summary="A WebP of about this size: the picture, the first frame of a film, a piano roll of music",
    **PREVIEW,
)
def get_item_preview(request: Request, user: User, dataset_id: Id, item_id: Id, size: Size = 128) -> Response:
    with session_scope(writing=False) as session:
        kind = service.seen(session, user, dataset_id).kind
        item: DatasetItem = service.item(session, dataset_id, item_id)
    if item.sha256 is None:
        raise NotFound("This file was refused; there is no picture")
    digest = item.sha256
    return preview_response(
        request, digest, size, lambda: cached_preview(digest, size, lambda: service.poster(item, kind))
    )
