"""/api/v1/artworks"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response, status
from fastapi.responses import StreamingResponse

from app.artworks import listing, renderings, selection, service
from app.artworks.listing import Filter, Order
from app.artworks.schemas import ArtworkChange, ArtworkList, ArtworkOut, Selection, SelectionOut, TrashOut
from app.database import session_scope
from app.media import TYPES, suffix_of
from app.media.listening import Listening, listening
from app.media.pictures import PNG
from app.users.deps import User
from app.web.files import ANSWERS, FOREVER, PREVIEW, Size, file_response, preview_response
from app.web.paging import Cursor, Limit, decode, encode
from app.web.parameters import Flag, Id, Moment, Text
from app.web.responses import attachment
from app.web.routing import Router

router = Router(prefix="/artworks", tags=["artworks"])


@router.get("", summary="List artworks")
def list_artworks(
    user: User,
    q: Text = None,
    model: Text = None,
    task: Text = None,
    tag: Text = None,
    favourite: Flag | None = None,
    trashed: Flag = False,
    studio: Flag = False,
    since: Annotated[
        Moment | None, Query(description="Made then or later: a date in UTC, or a time with its offset")
    ] = None,
    until: Annotated[Moment | None, Query(description="Made before then")] = None,
    order: Annotated[Order, Query(description="By the time of making")] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ArtworkList:
    wanted = Filter(q, model, task, tag, favourite, trashed, studio, since, until, order == "oldest")
    with session_scope(writing=False) as session:
        found, more = listing.page(session, user, wanted, decode(cursor), limit)
        return ArtworkList(items=found, next_cursor=encode(more) if more else None)


@router.post(
    "/selection",
    summary="Change many artworks, or download them as one zip",
    response_model=SelectionOut,
    responses={200: {"content": {"application/zip": {}}}},
)
def change_selection(user: User, wanted: Selection) -> SelectionOut | Response:
    if wanted.action == "download":
        with session_scope(writing=False) as session:
            content = selection.zipped(session, user, wanted.ids)
        return StreamingResponse(content, media_type="application/zip", headers=attachment("danqing.zip"))
    with session_scope() as session:
        return selection.change(session, user, wanted)


@router.delete("/trash", summary="Empty the trash")
def empty_trash(user: User) -> TrashOut:
    with session_scope() as session:
        return TrashOut(deleted=service.empty_trash(session, user))


@router.get("/{artwork_id}", summary="One artwork")
def get_artwork(user: User, artwork_id: Id) -> ArtworkOut:
    with session_scope(writing=False) as session:
        return service.shown(user, service.get(session, user, artwork_id))


@router.patch("/{artwork_id}", summary="Change title, tags, favourite or visibility")
def change_artwork(user: User, artwork_id: Id, wanted: ArtworkChange) -> ArtworkOut:
    with session_scope() as session:
        artwork = service.get(session, user, artwork_id, writing=True)
        return service.shown(user, service.change(artwork, wanted))


@router.delete("/{artwork_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Move to the trash")
def delete_artwork(user: User, artwork_id: Id) -> None:
    with session_scope() as session:
        service.trash(service.get(session, user, artwork_id, writing=True))


@router.post("/{artwork_id}/restoration", summary="Take back from the trash")
def restore_artwork(user: User, artwork_id: Id) -> ArtworkOut:
    with session_scope() as session:
        return service.shown(user, service.restore(service.get(session, user, artwork_id, writing=True)))


@router.get(
    "/{artwork_id}/file",
    summary="The file itself",
    response_class=Response,
    responses={200: {"content": TYPES}, **ANSWERS},
)
def get_file(
    request: Request,
    user: User,
    artwork_id: Id,
    download: Annotated[Flag, Query(description="Answer as an attachment")] = False,
) -> Response:
    with session_scope(writing=False) as session:
        artwork = service.get(session, user, artwork_id)
    name = f"danqing-{artwork.id}{suffix_of(artwork.media_type)}"
    how = "attachment" if download else "inline"
    headers = {"Cache-Control": FOREVER, "Content-Disposition": f'{how}; filename="{name}"'}
    return file_response(request, artwork.sha256, lambda: service.content(artwork), artwork.media_type, headers)


@router.get(
    "/{artwork_id}/cutout",
    summary="A PNG without the plain background",
    response_class=Response,
    responses={200: {"content": {PNG: {}}}, 409: {"description": "The background is not plain"}},
)
def get_cutout(user: User, artwork_id: Id) -> Response:
    with session_scope(writing=False) as session:
        artwork = service.get(session, user, artwork_id)
    headers = {"Cache-Control": FOREVER, **attachment(f"danqing-{artwork.id}-cutout.png")}
    return Response(service.cutout(artwork), media_type=PNG, headers=headers)


@router.get(
    "/{artwork_id}/notes",
    summary="A piece of music note by note",
    responses={409: {"description": "The work is no music"}},
)
def get_notes(user: User, artwork_id: Id) -> Listening:
    with session_scope(writing=False) as session:
        artwork = service.get(session, user, artwork_id)
    return listening(renderings.score_of(artwork))


@router.get(
    "/{artwork_id}/as/{form}",
    summary="A piece of music as notation, for other programs, or to be heard",
    response_class=Response,
    responses={
        200: {"content": {media_type: {} for media_type in renderings.FORMATS.values()}},
        409: {"description": "The work is no music"},
        503: {"description": "Without a soundfont nothing is played"},
    },
)
def get_rendering(
    user: User,
    artwork_id: Id,
    form: Literal["svg", "musicxml", "wav", "opus"],
    download: Annotated[Flag, Query(description="Answer as an attachment")] = False,
) -> Response:
    with session_scope(writing=False) as session:
        artwork = service.get(session, user, artwork_id)
    headers = attachment(f"danqing-{artwork.id}.{form}") if download else {}
    headers |= {"Cache-Control": FOREVER}
    return Response(renderings.rendered(artwork, form), media_type=renderings.FORMATS[form], headers=headers)


@router.get("/{artwork_id}/preview", summary="A WebP of about this size", **PREVIEW)
def get_preview(request: Request, user: User, artwork_id: Id, size: Size = 256) -> Response:
    with session_scope(writing=False) as session:
        artwork = service.get(session, user, artwork_id)
    digest = artwork.poster_sha256 or artwork.sha256
    return preview_response(request, digest, size, lambda: service.preview(artwork, size))
