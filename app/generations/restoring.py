"""The request that made a picture, from the picture's own file; and what would be different now."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from sqlalchemy.orm import Session

from app.artworks import service as artworks
from app.checkpoints import service as checkpoints
from app.errors import Invalid, invalid_params
from app.generations.schemas import MOST_IMAGES, GenerationIn, Inputs, PictureIn, Restoration, Slug
from app.generations.service import check_choices
from app.imaging import told
from app.uploads import service as uploads
from app.users.service import Principal
from app.version import VERSION
from models.base import Task

GONE = "The model {} is not here"
NO_SUCH_TASK = "The model {} does not do this any more"
REPLACED = "The model has been replaced since: it will draw something else"
UNFIT = "{} was left out: {}"
VERSIONS = "It was drawn by version {}; this is {}"
MISSING = "Not among your pictures: {} of {} that it was made from"
DIFFERENCES = (GONE, NO_SUCH_TASK, REPLACED, UNFIT, VERSIONS, MISSING)


class Source(BaseModel):
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Sources(BaseModel):
    images: list[Source] = Field([], max_length=MOST_IMAGES)


class Told(BaseModel):
    """What a file says; anyone may have written it."""

    model: Slug
    task: Slug
    checkpoint_sha256: str
    version: str = ""
    params: dict[str, Any] = {}
    inputs: Sources = Sources()


def restore(session: Session, user: Principal, content: bytes) -> Restoration:
    """Raises Invalid for a file that does not say how it was made."""
    provenance = told(content)
    try:
        said = Told.model_validate(provenance)
    except ValidationError as error:
        raise Invalid("What this file says of how it was made cannot be read") from error
    params, differences = artworks.request_params(provenance), []
    found = checkpoints.catalogue().get(said.model)
    task = found.family.task(said.task) if found else None
    if found is None:
        differences.append(GONE.format(said.model))
    elif task is None:
        differences.append(NO_SUCH_TASK.format(said.model))
    else:
        if found.sha256 != said.checkpoint_sha256:
            differences.append(REPLACED)
        params, unfit = fitting(task, found.card, params)
        differences += unfit
    if said.version != VERSION:
        differences.append(VERSIONS.format(said.version or "?", VERSION))
    images = known(session, user, said.inputs.images)
    if missing := len(said.inputs.images) - len(images):
        differences.append(MISSING.format(missing, len(said.inputs.images)))
    request = GenerationIn(model=said.model, task=said.task, params=params, inputs=Inputs(images=images))
    return Restoration(request=request, differences=differences)


def fitting(task: Task, card: dict[str, Any], params: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(parameters that the task takes now, what is wrong with the others)."""
    unfit: list[str] = []
    while True:
        try:
            check_choices(task.choices(card), task.params.model_validate(params))
            return params, unfit
        except ValidationError as error:
            problems = invalid_params(error).errors
        except Invalid as error:
            problems = error.errors
        wrong = {}
        for each in problems:
            match each["loc"]:
                case ["body", "params", str(name), *_] if name in params:
                    wrong[name] = str(each["msg"])
        unfit += [UNFIT.format(name, why) for name, why in wrong.items()]
        params = {name: value for name, value in params.items() if name not in wrong}
        if not wrong:  # something that it lacks: the form asks for it
            return params, unfit


def known(session: Session, user: Principal, sources: list[Source]) -> list[PictureIn]:
    """Those of which this user has the picture, as an upload or a work."""
    images = []
    for source in sources:
        if upload := uploads.by_content(session, user, source.sha256):
            images.append(PictureIn(upload=upload.id))
        elif work := artworks.by_content(session, user, source.sha256):
            images.append(PictureIn(artwork=work.id))
    return images
