"""/api/v1/models, what artists draw with; /api/v1/checkpoints, the files behind it, for admins."""

from __future__ import annotations

from functools import partial
from typing import Annotated, BinaryIO

from fastapi import Path, Request, Response, status
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from app.checkpoints import distribution, service
from app.checkpoints.schemas import CardList, CardOut, ModelList, ModelOut
from app.database import session_scope
from app.deps import Admin, User
from app.errors import Invalid, NotFound
from app.generations.waiting import end_waiting
from app.lanes import IMPORTING
from app.responses import attachment
from app.routing import Router
from app.training_runs import service as training_runs
from models.card import LONGEST_NAME, NAME

router = Router(prefix="/models", tags=["models"])
checkpoints_router = Router(prefix="/checkpoints", tags=["checkpoints"])
FORM = {
    "type": "object",
    "required": ["name", "files"],
    "properties": {
        "name": {"type": "string", "pattern": NAME, "maxLength": LONGEST_NAME},
        "replace": {"type": "string", "enum": ["true", "false"], "default": "false"},
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
}
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
    path = service.checkpoint_of(name).folder / "samples.png"
    if not service.is_plain(path):
        raise NotFound("This model has no contact sheet")
    return Response(path.read_bytes(), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


# --- checkpoints ----------------------------------------------------------------------------------------------------


@checkpoints_router.get("", summary="List checkpoints, also those that draw nothing by themselves")
def list_checkpoints(admin: Admin) -> CardList:
    return CardList(items=[CardOut.of(name, card) for name, card in service.cards().items()])


@checkpoints_router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Import a checkpoint: card.json, model.safetensors and what the card lists, or one zip of them",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
    responses={409: {"description": "The name is taken"}},
)
async def import_checkpoint(admin: Admin, request: Request, response: Response) -> CardOut:
    """Weights are safetensors by content, and never unpickled; a worker that loads them checks the architecture."""
    async with IMPORTING.place(admin.id), request.form(max_files=service.MAX_FILES, max_fields=10) as form:
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        name, replace = form.get("name"), form.get("replace", "false")
        if not files or not isinstance(name, str) or replace not in ("true", "false"):
            raise Invalid("The form needs a name and files", errors=[{"loc": ["body", "files" if name else "name"]}])
        opened = [(file.filename or "", file.file) for file in files]
        await IMPORTING.in_thread(partial(publish, name, opened, replace == "true"))
    response.headers["Location"] = f"/api/v1/checkpoints/{name}"
    return CardOut.of(name, service.card_of(name))


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
    service.card_of(name)
    return StreamingResponse(service.archive(name), media_type="application/zip", headers=attachment(f"{name}.zip"))


@checkpoints_router.delete(
    "/{name}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Unpublish: artists no longer see the model; what it drew stays",
    responses={409: {"description": "It came with the studio"}},
)
def delete_checkpoint(admin: Admin, name: Name) -> None:
    unpublish(name)


def publish(name: str, files: list[tuple[str, BinaryIO]], replace: bool) -> None:
    """Raises Conflict, Invalid."""
    service.add(name, files, replace)
    distribution.announce(name)
    end_waiting(name, service.cards().get(name))


def unpublish(name: str) -> None:
    """Raises NotFound, Conflict."""
    service.delete(name)
    distribution.withdraw(name)
    with session_scope() as session:
        training_runs.name_model(session, name, None)
    end_waiting(name, service.cards().get(name))
