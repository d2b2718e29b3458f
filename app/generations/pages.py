"""The create page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from app.artworks import listing
from app.artworks import service as artworks
from app.checkpoints import service as checkpoints
from app.checkpoints.service import Checkpoint
from app.database import session_scope
from app.datasets import fetching
from app.datasets import service as datasets
from app.datasets.schemas import StarterOut
from app.generations import adapters, enlarging, restoring, service
from app.generations.axes import axes
from app.generations.schemas import LONGEST_REQUEST, MOST_INPUTS, GenerationIn, InputIn, Restoration
from app.generations.tables import GENERATION
from app.i18n import language_of, translate
from app.jobs import pauses
from app.security import Principal
from app.settings import get_settings
from app.users.deps import User
from app.validation import Uuid, entered
from app.web.forms import Field, fields
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id, OptionalId, Text
from app.web.routing import Router
from app.web.templating import render
from models.contract.tasks import Input, Task
from models.contract.values import MUSIC, PICTURES

router = Router()
RECENT, EXAMPLES = 12, 6


@dataclass(frozen=True)
class Shelf:
    """A dataset whose items may be given to a model, or a `starter` that becomes one; `value` tells them apart."""

    value: str
    name: str
    starter: StarterOut | None = None


@router.get("/create")
def create(
    request: Request,
    user: User,
    model: Text = None,
    task: Text = None,
    artwork: OptionalId = None,
    source: Annotated[list[Uuid] | None, Query(max_length=MOST_INPUTS)] = None,
    older: Cursor = None,
    wanted_request: Annotated[str | None, Query(alias="request", max_length=LONGEST_REQUEST)] = None,
) -> Response:
    """A form from the model's schema, filled in by a `request` as the API takes it, or by the one that made `artwork`;
    `source` are works to work from.
    """
    catalogue = checkpoints.catalogue()
    with session_scope(writing=False) as session:
        filled = filled_in(session, user, artwork, wanted_request)
        latest, more = service.page(session, user, decode(older), RECENT, with_cells=False)
        shown = {job.id: job for job in [*latest, *service.unfinished(session, user)] if job.grid_id is None}
        described = service.describe(session, sorted(shown.values(), key=lambda job: job.id, reverse=True))
        paused = pauses.is_paused(session, GENERATION)
        recent, _ = listing.page(session, user, listing.Filter(), None, RECENT)
        shelves = shelves_of(session, user, language_of(request))
    given: dict[str, list[InputIn]] = {}
    if filled:
        model, task, given = filled.request.model, filled.request.task, filled.request.inputs
    if source and task:
        model = checkpoints.model_for_task(task, model or "") or model
    chosen = catalogue.get(model or "") or next(iter(catalogue.values()), None)
    wanted = (chosen.does(task or "") or chosen.tasks[0]) if chosen else None
    if source and wanted and wanted.source:
        given = {wanted.source.role: [InputIn(artwork=each) for each in source]}
    made = form_of(wanted, chosen) if chosen and wanted else []
    enlarge = filled.request.enlarge if filled else None
    sizes = enlarging.offered(wanted, chosen, enlarge) if wanted and chosen else []
    if sizes and wanted and chosen and not filled:
        enlarge = enlarging.proposed(wanted, chosen)
    return render(
        request,
        "generations/create.html",
        {
            "models": catalogue,
            "chosen": chosen,
            "paused": paused,
            "screening": get_settings().screening(user.role),
            "gone": model if model and model not in catalogue else None,
            "task": wanted,
            "given": {role: [each.model_dump(exclude_none=True) for each in found] for role, found in given.items()},
            "weighted": weighted(made, filled.request.params if filled else {}, language_of(request)),
            "inputs": inputs_of(wanted, made) if wanted else [],
            "brought": brought_along(wanted, chosen) if wanted and chosen else {},
            "shelves": shelves,
            "recent": recent if wanted and wanted.inputs else [],
            "fields": made,
            "values": filled.request.params if filled else {},
            "axes": axes(wanted, made) if wanted else [],
            "enlarge": enlarge,
            "sizes": sizes,
            "painted": next((each for each in wanted.inputs if each.painted), None) if wanted else None,
            "mask": next((each for each in wanted.inputs if each.over), None) if wanted else None,
            "bars": {field.bar: f"field-{field.name}" for field in made if field.bar},
            "sides": {field.side: f"field-{field.name}" for field in made if field.side},
            "differences": filled.differences if filled else [],
            "jobs": described,
            "older": encode(more) if more else None,
            "examples": examples_of(chosen, language_of(request)) if chosen else [],
        },
    )


def form_of(task: Task, checkpoint: Checkpoint) -> list[Field]:
    """With what this checkpoint has to choose from; adapters are called by their titles."""
    titles = adapters.choices(task, checkpoint)
    names = {field: list(found) for field, found in titles.items()}
    made = fields(task.params, {**task.choices(checkpoint.card), **names})
    return [replace(field, titles=titles.get(field.name, field.titles)) for field in made]


def inputs_of(task: Task, made: list[Field]) -> list[Input]:
    """Without pictures to follow, where nothing could follow them."""
    shown = {field.name for field in made}
    idle = {declared.get("follows") for name, declared in task.params.in_part("adapters").items() if name not in shown}
    return [each for each in task.inputs if each.role not in idle]


def brought_along(task: Task, checkpoint: Checkpoint) -> dict[str, list[dict[str, str]]]:
    """By role, examples of what may be given to the model."""
    return {given.role: [asdict(each) for each in checkpoint.examples(given)] for given in task.inputs}


def shelves_of(session: Session, user: Principal, language: str) -> dict[str, list[Shelf]]:
    """By medium; starters that are not here are for those who may fetch them."""
    found: dict[str, list[Shelf]] = {PICTURES: [], MUSIC: []}
    for dataset in datasets.shared(session):
        if dataset.kind in found:
            found[dataset.kind].append(Shelf(f"dataset:{dataset.id}", dataset.name))
    for starter in fetching.offers_of_works(session) if user.is_admin else []:
        if starter.kind in found and not starter.dataset:
            found[starter.kind].append(Shelf(f"starter:{starter.name}", translate(language, starter.title), starter))
    return found


def examples_of(checkpoint: Checkpoint, language: str) -> list[str]:
    """Prompts that the model's own training watched, those in the reader's language first."""
    watched = checkpoint.card.get("training", {}).get("watched") or []
    is_chinese = language.startswith("zh")
    return sorted(watched, key=lambda prompt: prompt.isascii() == is_chinese)[:EXAMPLES]


def weighted(made: list[Field], values: dict[str, Any], language: str) -> dict[str, list[dict[str, Any]]]:
    """By role, the parameters that have a number for each input."""
    found: dict[str, list[dict[str, Any]]] = {}
    for field in made:
        if field.of:
            words = {"name": field.name, "title": translate(language, field.title), "usual": field.usual}
            found.setdefault(field.of, []).append({**words, "values": values.get(field.name) or []})
    return found


def filled_in(session: Session, user: Principal, artwork: str | None, request: str | None) -> Restoration | None:
    """The request that made a work, or one as the API takes it. Raises NotFound, Invalid."""
    if artwork:
        return restoring.restore(session, user, artworks.told(artworks.get(session, user, artwork)))
    if not request:
        return None
    with entered():
        return Restoration(request=GenerationIn.model_validate_json(request), differences=[])


@router.get("/create/jobs/{generation_id}")
def job_card(request: Request, user: User, generation_id: Id) -> Response:
    """One job's card, for the page to put in place when the job has ended; none of a cell, which its grid shows."""
    with session_scope(writing=False) as session:
        job = service.describe_one(session, service.get(session, user, generation_id))
    if job.grid:
        return Response(status_code=204)
    return render(request, "generations/_job.html", {"job": job})
