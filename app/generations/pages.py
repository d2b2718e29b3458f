"""The create page."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.artworks import service as artworks
from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.deps import User
from app.forms import fields
from app.generations import service
from app.templating import render
from app.validation import Id, OptionalId, Text

router = APIRouter()
RECENT = 12


@router.get("/create")
def create(request: Request, user: User, model: Text = None, artwork: OptionalId = None) -> Response:
    """A form from the model's schema; `artwork` fills in the request that made it."""
    catalogue = checkpoints.catalogue()
    values: dict[str, object] = {}
    with session_scope(writing=False) as session:
        if artwork:
            made = artworks.get(session, user, artwork)
            values = {**made.provenance.get("params", {}), "seed": made.seed, "count": 1}
            model = made.model
        jobs, _ = service.page(session, user, None, RECENT)
        described = service.describe(session, jobs)
    chosen = catalogue.get(model or "") or next(iter(catalogue.values()), None)
    return render(
        request,
        "generations/create.html",
        {
            "models": catalogue,
            "chosen": chosen,
            "task": chosen.family.tasks[0] if chosen else None,
            "fields": fields(chosen.family.tasks[0].params, chosen.family.tasks[0].choices(chosen.card))
            if chosen
            else [],
            "values": values,
            "jobs": described,
        },
    )


@router.get("/create/jobs/{generation_id}")
def job_card(request: Request, user: User, generation_id: Id) -> Response:
    """One job's card, for the page to put in place when the job has ended."""
    with session_scope(writing=False) as session:
        job = service.describe_one(session, service.get(session, user, generation_id))
    return render(request, "generations/_job.html", {"job": job})
