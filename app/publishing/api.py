"""Publishing over the API: POST and DELETE of /api/v1/checkpoints, and /api/v1/training-runs/{run_id}/publication."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

from fastapi import Request, Response, status
from starlette.datastructures import UploadFile

from app.checkpoints import importing, transfers
from app.checkpoints.api import Name
from app.checkpoints.schemas import CardOut
from app.checkpoints.transfers import Transfer
from app.errors import Conflict, Invalid
from app.publishing import service, starters
from app.settings import get_settings
from app.training_runs.api import CONFLICT, Existing
from app.training_runs.schemas import PublicationIn
from app.users.deps import Admin
from app.web.lanes import IMPORTING, lane
from app.web.routing import Router
from models.contract.card import LONGEST_NAME, NAME

router = Router()
LONGEST_WORDS = 80
FORM = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": NAME, "maxLength": LONGEST_NAME},
        "replace": {"type": "string", "enum": ["true", "false"], "default": "false"},
        "title": {"type": "string", "maxLength": LONGEST_WORDS},
        "license": {"type": "string", "maxLength": LONGEST_WORDS},
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "transfer": {"type": "string", "description": "Of files that came in pieces"},
        "folder": {"type": "string", "description": "On the server"},
    },
}


@router.post(
    "/checkpoints",
    tags=["checkpoints"],
    status_code=status.HTTP_201_CREATED,
    summary="Import a checkpoint: its files, one zip of them, or the weights of another program",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
    responses={409: {"description": "The name is taken"}},
)
async def import_checkpoint(admin: Admin, request: Request, response: Response) -> CardOut:
    """card.json, model.safetensors and what the card lists; or an upscaler as Real-ESRGAN has them: one safetensors
    file, or `.param` and `.bin` of ncnn; or a bank of styles: one file of ONNX; or a pipeline of the package diffusers,
    whose files are named as they lie in its folder. In place of `files`, `transfer` names some that came in pieces, and
    `folder` one on the server below `DANQING_IMPORT_FROM`. Nothing is unpickled; all is loaded once before anybody sees
    it.
    """
    async with IMPORTING.place(admin.id), request.form(max_files=importing.MAX_FILES, max_fields=10) as form:
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        name, replace = form.get("name"), form.get("replace", "false")
        sources = [files, form.get("transfer"), form.get("folder")]
        if sum(map(bool, sources)) != 1 or not isinstance(name, str) or replace not in ("true", "false"):
            raise Invalid("The form needs a name and files", errors=[{"loc": ["body", "files" if name else "name"]}])
        words = {field: text for field in ("title", "license") if isinstance(text := form.get(field), str) and text}
        if too_long := next((field for field, text in words.items() if len(text) > LONGEST_WORDS), None):
            raise Invalid("At most {count} characters", count=LONGEST_WORDS, errors=[{"loc": ["body", too_long]}])
        opened: importing.Files = [(file.filename or "", file.file) for file in files]
        transfer = None
        if key := form.get("transfer"):
            transfer = transfers.get(admin, str(key))
            opened = whole(transfer)
        if folder := form.get("folder"):
            opened = await IMPORTING.in_thread(partial(on_server, str(folder)))
        card = await IMPORTING.in_thread(partial(service.add, name, opened, replace == "true", words))
        if transfer is not None:
            transfers.forget(transfer)
    response.headers["Location"] = f"/api/v1/checkpoints/{name}"
    return CardOut.of(name, card)


def whole(transfer: Transfer) -> importing.Files:
    """Its files. Raises Conflict where something is still to come."""
    if not transfer.is_complete:
        raise Conflict("Not all of it is here yet")
    return [(name, transfer.path(i)) for i, (name, _) in enumerate(transfer.files)]


def on_server(folder: str) -> importing.Files:
    """Files of a folder, or a file, that the operator lets be imported. Raises Invalid."""
    roots = [Path(root.strip()).resolve() for root in get_settings().import_from.split(",") if root.strip()]
    where = [{"loc": ["body", "folder"]}]

    def check(path: Path) -> None:  # links may lead elsewhere
        if not any(path.resolve().is_relative_to(root) for root in roots):
            raise Invalid("The operator lets nothing be imported from there: see DANQING_IMPORT_FROM", errors=where)

    try:
        found = Path(folder).resolve()
        check(found)
        if found.is_file():
            return [(found.name, found)]
        walked = (path for path in found.rglob("*") if path.is_file())
        files = sorted(islice(walked, importing.MAX_FILES + 1))
        for path in files:
            check(path)
    except (OSError, ValueError) as error:
        raise Invalid("There is no checkpoint in {folder}", folder=folder[:200], errors=where) from error
    if not 1 <= len(files) <= importing.MAX_FILES:
        raise Invalid("There is no checkpoint in {folder}", folder=folder[:200], errors=where)
    return [(path.relative_to(found.parent).as_posix(), path) for path in files]


@router.post(
    "/checkpoints/starters/{name}",
    tags=["checkpoints"],
    status_code=status.HTTP_201_CREATED,
    summary="Fetch a model that others have published",
    responses={409: {"description": "It is here already"}},
)
@lane(IMPORTING)
def fetch_starter(admin: Admin, response: Response, name: starters.StarterName) -> CardOut:
    """Answers when artists see it."""
    card = starters.fetch(name)
    response.headers["Location"] = f"/api/v1/checkpoints/{name}"
    return CardOut.of(name, card)


@router.delete(
    "/checkpoints/{name}",
    tags=["checkpoints"],
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Unpublish: artists no longer see the model; what it drew stays",
    responses={409: {"description": "It came with the studio"}},
)
def delete_checkpoint(admin: Admin, name: Name) -> None:
    service.unpublish(name)


@router.post(
    "/training-runs/{run_id}/publication",
    tags=["training"],
    status_code=status.HTTP_201_CREATED,
    summary="Publish what it has trained",
    responses=CONFLICT,
)
@lane(IMPORTING)
def publish(run: Existing, response: Response, given: PublicationIn) -> CardOut:
    """Artists see the model at once."""
    card = service.publish(run, given)
    response.headers["Location"] = f"/api/v1/checkpoints/{given.name}"
    return CardOut.of(given.name, card)
