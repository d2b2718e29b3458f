"""Publishing over the API: POST and DELETE of /api/v1/checkpoints, and /api/v1/training-runs/{run_id}/publication."""

from __future__ import annotations

from functools import partial

from fastapi import Request, Response, status
from starlette.datastructures import UploadFile

from app.checkpoints import service as checkpoints
from app.checkpoints.api import Name
from app.checkpoints.schemas import CardOut
from app.errors import Invalid
from app.publishing import service, starters
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
    "required": ["name", "files"],
    "properties": {
        "name": {"type": "string", "pattern": NAME, "maxLength": LONGEST_NAME},
        "replace": {"type": "string", "enum": ["true", "false"], "default": "false"},
        "title": {"type": "string", "maxLength": LONGEST_WORDS},
        "license": {"type": "string", "maxLength": LONGEST_WORDS},
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
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
    """card.json, model.safetensors and what the card lists; or one safetensors file, or `.param` and `.bin` of ncnn, of
    an upscaler as Real-ESRGAN has them; or a pipeline of the package diffusers, whose files are named as they lie in
    its folder. Nothing is unpickled; all is loaded once before anybody sees it.
    """
    async with IMPORTING.place(admin.id), request.form(max_files=checkpoints.MAX_FILES, max_fields=10) as form:
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        name, replace = form.get("name"), form.get("replace", "false")
        if not files or not isinstance(name, str) or replace not in ("true", "false"):
            raise Invalid("The form needs a name and files", errors=[{"loc": ["body", "files" if name else "name"]}])
        words = {field: text for field in ("title", "license") if isinstance(text := form.get(field), str) and text}
        if too_long := next((field for field, text in words.items() if len(text) > LONGEST_WORDS), None):
            raise Invalid("At most {count} characters", count=LONGEST_WORDS, errors=[{"loc": ["body", too_long]}])
        opened = [(file.filename or "", file.file) for file in files]
        card = await IMPORTING.in_thread(partial(service.add, name, opened, replace == "true", words))
    response.headers["Location"] = f"/api/v1/checkpoints/{name}"
    return CardOut.of(name, card)


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
