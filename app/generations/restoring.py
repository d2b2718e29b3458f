"""The request that made a work, from what the work says of itself; and what would be different now."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from sqlalchemy.orm import Session

from app.artworks import service as artworks
from app.checkpoints import service as checkpoints
from app.checkpoints.service import Checkpoint
from app.errors import Invalid, NotFound
from app.generations.inputs import source
from app.generations.schemas import (
    LONGEST_REQUEST,
    MOST_INPUTS,
    MOST_ROLES,
    Enlarging,
    GenerationIn,
    InputIn,
    Restoration,
    by_role,
)
from app.generations.service import fits
from app.security import Principal
from app.uploads import service as uploads
from app.validation import Slug, Uuid, invalid_params
from app.version import VERSION
from models.contract.message import Message
from models.contract.tasks import Task
from models.contract.upscaling import IMAGE_UPSCALING

LONGEST_SHOWN = 60


class Source(BaseModel):
    """What it was made from: by its content, and where the studio itself says so by id."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    artwork: Uuid | None = None
    upload: Uuid | None = None


class Enlarged(Enlarging):
    """By which weights, too; what later versions say besides is not asked for."""

    model_config = ConfigDict(extra="ignore")

    checkpoint_sha256: str = ""


class EmbeddedProvenance(BaseModel):
    """What a work says; where it came as a file, anyone may have written it."""

    model: Slug
    task: Slug
    checkpoint_sha256: str = ""
    version: str = Field("?", max_length=40)
    params: dict[str, Any] = {}
    inputs: Annotated[dict[Slug, Annotated[list[Source], Field(max_length=MOST_INPUTS)]], BeforeValidator(by_role)] = (
        Field({}, max_length=MOST_ROLES)
    )
    enlarge: Enlarged | None = None


def restore(session: Session, user: Principal, provenance: dict[str, Any]) -> Restoration:
    """Raises Invalid for what cannot be a request."""
    try:
        said = EmbeddedProvenance.model_validate(provenance)
    except ValidationError as error:
        raise Invalid("This file's record of how it was made cannot be read") from error
    params = artworks.request_params(provenance)
    differences = list[Message]()
    found = checkpoints.catalogue().get(said.model)
    task = found.does(said.task) if found else None
    found_of = {role: [known(session, user, each) for each in sources] for role, sources in said.inputs.items()}
    params = without(found_of, params, task)
    if found is None:
        differences.append(Message("The model {name} is not here", name=said.model))
    elif task is None:
        differences.append(Message("The model {name} no longer does this", name=said.model))
    else:
        if found.sha256 != said.checkpoint_sha256:
            differences.append(Message("The model has since been replaced: it will draw something else"))
        params, unfit = fitting(task, found, params)
        differences += unfit
    enlarge, otherwise = enlarging_of(said.enlarge)
    differences += otherwise
    if said.version != VERSION:
        differences.append(Message("It was drawn by version {other}; this is {own}", other=said.version, own=VERSION))
    every = [each for sources in found_of.values() for each in sources]
    if missing := every.count(None):
        differences.append(
            Message("Not among your pictures: {missing} of the {all} it was made from", missing=missing, all=len(every))
        )
    inputs = {role: [each for each in sources if each] for role, sources in found_of.items()}
    request = GenerationIn(model=said.model, task=said.task, params=params, inputs=inputs, enlarge=enlarge)
    return Restoration(request=sendable(request), differences=differences)


def enlarging_of(said: Enlarged | None) -> tuple[Enlarging | None, list[Message]]:
    """(the same step by a model that is here, why it may not give the same)."""
    if said is None:
        return None, []
    wanted = Enlarging(size=said.size, model=said.model, pixel_art=said.pixel_art)
    found = checkpoints.catalogue().get(said.model or "")
    if found is None or not found.does(IMAGE_UPSCALING):
        different = [Message("The model {name} is not here", name=said.model)] if said.model else []
        return wanted.model_copy(update={"model": None}), different
    if found.sha256 != said.checkpoint_sha256:
        return wanted, [Message("The model that enlarges it has since been replaced")]
    return wanted, []


def fitting(task: Task, checkpoint: Checkpoint, params: dict[str, Any]) -> tuple[dict[str, Any], list[Message]]:
    """(parameters that the task takes now, what is wrong with the others)."""
    unfit: list[Message] = []
    while True:
        try:
            fits(task, checkpoint, task.params.model_validate(params))
            return params, unfit
        except ValidationError as error:
            problems = invalid_params(error).errors
        except Invalid as error:
            problems = error.errors
        wrong = {}
        for each in problems:
            match each["loc"]:
                case ["body", "params", str(name), *_] if name in params:
                    wrong[name] = each["msg"]
        unfit += [
            Message("{name} was left out: {reason}", name=name[:LONGEST_SHOWN], reason=why)
            for name, why in wrong.items()
        ]
        params = {name: value for name, value in params.items() if name not in wrong}
        if not wrong:  # something that it lacks: the form asks for it
            return params, unfit


def known(session: Session, user: Principal, wanted: Source) -> InputIn | None:
    """That input, if this user may see it: by its id, else one with the same content."""
    if wanted.artwork or wanted.upload:
        named = InputIn(artwork=wanted.artwork, upload=wanted.upload)
        with suppress(NotFound):
            source(session, user, named)
            return named
    if upload := uploads.by_content(session, user, wanted.sha256):
        return InputIn(upload=upload.id)
    if work := artworks.by_content(session, user, wanted.sha256):
        return InputIn(artwork=work.id)
    return None


def without(found: dict[str, list[InputIn | None]], params: dict[str, Any], task: Task | None) -> dict[str, Any]:
    """Parameters with a number an input keep those of the inputs that are there."""
    fewer = {}
    for name, declared in (task.params.in_part("weights") if task else {}).items():
        sources = found.get(declared["of"], [])
        if isinstance(weights := params.get(name), list) and len(weights) == len(sources):
            fewer[name] = [weight for weight, each in zip(weights, sources, strict=True) if each] or None
    return {**params, **fewer}


def sendable(request: GenerationIn) -> GenerationIn:
    """Raises Invalid where JSON cannot hold it, or the create page could not be asked for it."""
    try:
        length = len(request.model_dump_json())
    except ValueError as error:  # half of a surrogate pair, or what is nested too deep
        raise Invalid("This file's record of how it was made cannot be read") from error
    if length > LONGEST_REQUEST:
        raise Invalid("This file's record of how it was made is too long")
    return request
