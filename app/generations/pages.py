"""The create page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from app.artworks import service as artworks
from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.deps import User
from app.errors import first_of
from app.forms import fields
from app.generations import service
from app.generations.schemas import MOST_IMAGES, GenerationIn, Inputs, PictureIn
from app.templating import render
from app.validation import Id, OptionalId, Text, Uuid

router = APIRouter()
RECENT = 12


@router.get("/create")
def create(
    request: Request,
    user: User,
    model: Text = None,
    task: Text = None,
    artwork: OptionalId = None,
    image: Annotated[list[Uuid] | None, Query(max_length=MOST_IMAGES)] = None,
    wanted_request: Annotated[str | None, Query(alias="request", max_length=8000)] = None,
) -> Response:
    """A form from the model's schema, filled in by a `request` as the API takes it, or by the one that made `artwork`;
    `image` are works to work from.
    """
    catalogue = checkpoints.catalogue()
    values: dict[str, object] = {}
    given = [PictureIn(artwork=each) for each in image or []]
    if wanted_request:
        asked = request_of(wanted_request)
        model, task, values, given = asked.model, asked.task, asked.params, asked.inputs.images
    with session_scope(writing=False) as session:
        if artwork:
            made = artworks.get(session, user, artwork)
            values = dict(artworks.request_params(made.provenance))
            model, task = made.model, made.task
            given = service.seen(session, user, made.provenance.get("inputs", {})).images
        latest, _ = service.page(session, user, None, RECENT)
        shown = {job.id: job for job in [*latest, *service.unfinished(session, user)]}
        described = service.describe(session, sorted(shown.values(), key=lambda job: job.id, reverse=True))
        recent, _ = artworks.page(session, user, artworks.Filter(), None, RECENT)
    if image and task:
        model = checkpoints.offering(task, model or "") or model
    chosen = catalogue.get(model or "") or next(iter(catalogue.values()), None)
    wanted = (chosen.family.task(task or "") or chosen.family.tasks[0]) if chosen else None
    return render(
        request,
        "generations/create.html",
        {
            "models": catalogue,
            "chosen": chosen,
            "gone": model if model and model not in catalogue else None,
            "task": wanted,
            "given": Inputs(images=given),
            "recent": recent if wanted and wanted.images[1] else [],
            "fields": fields(wanted.params, wanted.choices(chosen.card)) if chosen and wanted else [],
            "values": values,
            "jobs": described,
        },
    )


def request_of(text: str) -> GenerationIn:
    """Raises Invalid."""
    try:
        return GenerationIn.model_validate_json(text)
    except ValidationError as error:
        raise first_of(error) from error


@router.get("/create/jobs/{generation_id}")
def job_card(request: Request, user: User, generation_id: Id) -> Response:
    """One job's card, for the page to put in place when the job has ended."""
    with session_scope(writing=False) as session:
        job = service.describe_one(session, service.get(session, user, generation_id))
    return render(request, "generations/_job.html", {"job": job})
