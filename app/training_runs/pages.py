"""Training in the browser, for admins."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from app.checkpoints.figures import arranged
from app.checkpoints.metric_names import METRICS
from app.checkpoints.service import cards
from app.database import session_scope
from app.datasets import service as datasets
from app.datasets.collections import COLLECTIONS
from app.jobs import pauses
from app.training_runs import planning, service
from app.training_runs.api import describe_family
from app.training_runs.proposal import caution, name_for
from app.training_runs.recommending import recommendations
from app.training_runs.tables import TRAINING
from app.users.deps import Admin
from app.web.forms import fields, grouped, network_fields
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id, OptionalId, Text
from app.web.routing import Router
from app.web.templating import render
from models.contract.registry import families
from models.contract.values import PICTURES

router = Router(prefix="/train")
SHOWN = 24
MAIN = ("start_from", "pipeline", "word", "size", "labels", "watched")  # fields that are not folded
DATASETS = 200


@router.get("")
def index(request: Request, admin: Admin, cursor: Cursor = None) -> Response:
    with session_scope(writing=False) as session:
        found, more = service.page(session, decode(cursor), SHOWN)
        runs = [service.describe(run) for run in found]
        paused = pauses.is_paused(session, TRAINING)
    covers = {run.id: service.folder(run.id).covers()[-1:] for run in runs}
    context = {
        "families": families(),
        "runs": runs,
        "paused": paused,
        "covers": covers,
        "next_cursor": encode(more) if more else None,
    }
    return render(request, "training_runs/index.html", context)


@router.get("/new")
def new(
    request: Request,
    admin: Admin,
    family: Text = None,
    dataset: Text = None,
    start_from: Text = None,
    preset: Text = None,
    size: Annotated[int | None, Query(ge=1, le=4096)] = None,
    pipeline: Text = None,
) -> Response:
    """What is wanted is asked first. Then a form from the family's schema; `start_from` is a checkpoint, whose family
    it is.
    """
    if not family and not start_from:
        return goals(request, dataset)
    trainable = planning.offered()
    known = cards()
    start = known.get(start_from or "")
    family_of = trainable.get(start["family"] if start else family or "") or next(iter(trainable.values()))
    assert family_of.training is not None
    form, network = fields(family_of.training), network_fields(family_of.training)
    with session_scope(writing=False) as session:
        found, _ = datasets.page(session, None, DATASETS, everything=True)
        given = ({"start_from": start_from} if start else {}) | ({"size": size} if size else {})
        for name, of in planning.needed(family_of).items():
            usable = planning.usable(of)
            chosen = pipeline if pipeline in usable else usable[0]
            given = {"size": known[chosen]["config"]["size"], **given, name: chosen}
        described = describe_family(session, family_of.name, given)
    checkpoints = {f.family: planning.usable(f.family) for f in form if f.family}
    beneath = {part["role"]: part["name"] for part in (start or {}).get("builds_on", [])}
    context: dict[str, Any] = {
        "families": trainable,
        "chosen": described,
        "fields": [*form, *network],
        "preparation": grouped(family_of.preparation, "preparation"),
        "datasets": [each for each in found if each.kind == family_of.learns and each.accepted],
        "collections": [name for name, each in COLLECTIONS.items() if each.medium == family_of.learns],
        "dataset": dataset,
        "checkpoints": checkpoints,
        "given": given | (beneath if start else {}),
        "preset": preset,
        "main": [f.name for f in [*form, *network] if not f.more and f.name.rpartition(".")[2] in MAIN],
        "sizes": {
            name: known[name].get("config", {}).get("size") for f in form if f.family for name in checkpoints[f.family]
        },
    }
    return render(request, "training_runs/new.html", context)


def goals(request: Request, dataset: str | None) -> Response:
    """What may be made of a dataset, each with what it takes."""
    with session_scope(writing=False) as session:
        found, _ = datasets.page(session, None, DATASETS, everything=True)
        own = [each for each in found if each.accepted]
        chosen = dataset or (own[0].id if own else next(iter(COLLECTIONS)))
        context = {
            "datasets": own,
            "collections": list(COLLECTIONS),
            "dataset": chosen,
            "kind": next((each.kind for each in own if each.id == chosen), PICTURES),
            "goals": recommendations(session, chosen),
            "families": planning.offered(),
        }
    return render(request, "training_runs/goals.html", context)


@router.get("/{run_id}")
def show(request: Request, admin: Admin, run_id: Id, other: OptionalId = None) -> Response:
    """`other` is a run to compare with."""
    with session_scope(writing=False) as session:
        run = service.get(session, run_id)
        described = service.describe(run)
        alike = [each for each in service.page(session, None, 50)[0] if each.id != run.id]
        compared = service.describe(service.get(session, other)) if other else None
    family = planning.trainable().get(run.family)
    card = service.trained(described)
    facts, tables = arranged(card.get("figures", {}))
    context: dict[str, Any] = {
        "run": described,
        "proposed": name_for(described, cards()),
        "caution": caution(described, family, card.get("figures", {})),
        "family": family.title if family else run.family,
        "draws": bool(family and family.tasks),
        "learns": family.learns if family else "",
        "sheet": family.sheet if family else "",
        "preparation": fields(family.preparation) if family else [],
        "facts": facts,
        "tables": tables,
        "unmeasured": card.get("not_measured"),
        "metrics": METRICS,
        "others": alike,
        "other": compared,
    }
    return render(request, "training_runs/show.html", context)
