"""/api/v1/models, what artists draw with; /api/v1/checkpoints, the files behind it, for admins."""

from __future__ import annotations

from mimetypes import guess_type
from typing import Annotated

from fastapi import Path, Response
from fastapi.responses import StreamingResponse

from app.checkpoints import service
from app.checkpoints.schemas import CardList, CardOut, ModelList, ModelOut
from app.errors import NotFound
from app.media import midi
from app.media.listening import Listening, listening
from app.users.deps import Admin, User
from app.web.responses import attachment
from app.web.routing import Router
from models.contract.card import LONGEST_NAME, NAME
from models.contract.samples import PICTURE

MOST_EXAMPLES = 1000
router = Router(prefix="/models", tags=["models"])
checkpoints_router = Router(prefix="/checkpoints", tags=["checkpoints"])
Name = Annotated[str, Path(pattern=NAME, max_length=LONGEST_NAME)]


@router.get("", summary="List models")
def list_models(user: User) -> ModelList:
    return ModelList(items=[ModelOut.of(found) for found in service.catalogue().values()])


@router.get("/{name}", summary="One model, with the schema of what each task takes")
def get_model(user: User, name: Name) -> ModelOut:
    return ModelOut.of(service.get(name))


@router.get(
    "/{name}/samples",
    summary="The contact sheet",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def get_samples(user: User, name: Name) -> Response:
    found = service.checkpoint_of(name)
    if not found.has_sheet:
        raise NotFound("This model has no contact sheet")
    picture = found.file_of_samples(PICTURE).read_bytes()
    return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.get(
    "/{name}/styles/{number}",
    summary="What one of its styles looks like",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def get_style(user: User, name: Name, number: Annotated[int, Path(ge=1)]) -> Response:
    picture = service.checkpoint_of(name).style(number)
    return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/{name}/samples/notes", summary="Pieces that the model has made, to be played")
def get_pieces(user: User, name: Name) -> list[Listening]:
    return [listening(score) for score in service.checkpoint_of(name).pieces]


@router.get(
    "/{name}/samples/{number}/midi",
    summary="One of these pieces as a file",
    response_class=Response,
    responses={200: {"content": {"audio/midi": {}}}},
)
def get_piece(user: User, name: Name, number: Annotated[int, Path(ge=1)]) -> Response:
    pieces = service.checkpoint_of(name).pieces
    if number > len(pieces):
        raise NotFound("This model has {count} pieces", count=len(pieces))
    file = midi.write(pieces[number - 1])
    return Response(file, media_type="audio/midi", headers=attachment(f"{name}-{number}.mid"))


@router.get(
    "/{name}/examples/{number}",
    summary="A picture that may be given to it, to begin with",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}, "image/webp": {}}}},
)
def get_example(user: User, name: Name, number: Annotated[int, Path(ge=1, le=MOST_EXAMPLES)]) -> Response:
    file = service.checkpoint_of(name).file_of_example(number)
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(file.read_bytes(), media_type=guess_type(file.name)[0], headers=headers)


# --- checkpoints ----------------------------------------------------------------------------------------------------


@checkpoints_router.get("", summary="List checkpoints, also those that draw nothing by themselves")
def list_checkpoints(admin: Admin) -> CardList:
    return CardList(items=[CardOut.of(name, card) for name, card in service.cards().items()])


@checkpoints_router.get("/{name}", summary="One checkpoint with its card")
def get_checkpoint(admin: Admin, name: Name) -> CardOut:
    return CardOut.of(name, service.card_of(name))


@checkpoints_router.get(
    "/{name}/file",
    summary="The checkpoint as a zip, which another studio imports",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
def export_checkpoint(admin: Admin, name: Name) -> StreamingResponse:
    return StreamingResponse(service.archive(name), media_type="application/zip", headers=attachment(f"{name}.zip"))
