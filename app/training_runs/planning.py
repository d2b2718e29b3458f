"""What a run is to be, from what was asked for: family, parameters, pictures and budget, or what is wrong with them."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from app.checkpoints import service as checkpoints
from app.datasets import service as datasets
from app.datasets.collections import COLLECTIONS
from app.errors import Invalid
from app.security import Principal
from app.training_runs.estimates import estimate
from app.training_runs.schemas import Estimate, TrainingRunIn
from app.training_runs.tables import TrainingRun
from app.validation import invalid_params
from models.contract.family import Family
from models.contract.fine_tuning import START, OtherShape, validated
from models.contract.message import Message
from models.contract.preparation import Preparation
from models.contract.registry import families

NO_PAIRS = Message(
    "This family learns from things that are drawn in several styles: put each style in a "
    "folder of its own, and give drawings of the same thing the same file name"
)
OTHER_MEDIUM = Message("This family learns from a different kind of work than this dataset has")


def trainable() -> dict[str, Family]:
    """Families with a trainer, those that draw by themselves first."""
    known = sorted(families().items(), key=lambda entry: not entry[1].tasks)
    return {name: family for name, family in known if family.training and family.trainer}


def offered() -> dict[str, Family]:
    """Those of them that there is something to build on for, where they cannot do without."""
    return {name: family for name, family in trainable().items() if all(usable(of) for of in needed(family).values())}


def needed(family: Family) -> dict[str, str]:
    """Of the parameters that name a checkpoint and have no usual one, the family that it must be of."""
    assert family.training is not None
    known = family.training.model_fields
    return {name: of for name, of in checkpoint_fields(family.training).items() if known[name].default == ""}


def create(
    session: Session, user: Principal, given: TrainingRunIn, expected: Estimate, request_id: str = ""
) -> TrainingRun:
    """A queued run with every parameter resolved. Raises NotFound, Invalid with the fields."""
    family, params, steps = planned(given)
    size = family.picture_size(params, checkpoints.card_of) if family.picture_size else 0
    preparation = prepared(family, given.preparation)
    dataset_id, collection = source(session, family, given.dataset, size, preparation.fewest)
    if family.pairs and dataset_id and not datasets.has_pairs(session, dataset_id):
        raise invalid("dataset", why=NO_PAIRS)
    run = TrainingRun(
        user_id=user.id,
        name=given.name,
        family=family.name,
        dataset_id=dataset_id,
        collection=collection,
        size=size,
        preparation=preparation.model_dump(mode="json"),
        prepared=None if dataset_id else f"datasets/{collection}",
        params=params.model_dump(mode="json"),
        steps=steps,
        minutes=given.minutes,
        patience=given.patience,
        seed=given.seed,
        evaluate=given.evaluate,
        pieces=expected.pieces,
        request_id=request_id,
    )
    session.add(run)
    session.flush()
    return run


def prepared(family: Family, given: dict[str, Any]) -> Preparation:
    """Raises Invalid, by the fields."""
    try:
        return family.preparation.model_validate(given)
    except ValidationError as error:
        raise invalid_params(error, "preparation") from error


def planned(given: TrainingRunIn) -> tuple[Family, BaseModel, int]:
    """(family, parameters, steps) of a request. Raises Invalid with the fields."""
    family = trainable().get(given.family)
    if family is None:
        raise invalid(
            "family",
            why=Message(
                "There is no family {family} to train; available: {families}",
                family=given.family,
                families=", ".join(trainable()),
            ),
        )
    return family, *resolve(family, given)


def resolve(family: Family, given: TrainingRunIn) -> tuple[BaseModel, int]:
    """(parameters, steps) of a preset with what was given over it. Raises Invalid."""
    presets = {preset.name: preset for preset in family.presets}
    if given.preset is not None and given.preset not in presets:
        raise invalid(
            "preset",
            why=Message(
                "There is no preset {preset}; available: {presets}", preset=given.preset, presets=", ".join(presets)
            ),
        )
    preset = presets[given.preset] if given.preset else family.presets[len(family.presets) // 2]
    own = {**(preset.params if given.preset else {}), **given.params}
    if given.base_checkpoint:
        if family.training is None or START not in family.training.model_fields:
            raise invalid("base_checkpoint", why=Message("This family does not start from a checkpoint"))
        own[START] = given.base_checkpoint
    assert family.training is not None
    for name, wanted in checkpoint_fields(family.training).items():
        value = own.get(name, family.training.model_fields[name].default)
        is_to_be_chosen = value == "" and name in needed(family)  # the family says so in its own words
        if isinstance(value, str) and value not in usable(wanted) and not is_to_be_chosen:
            raise invalid(
                "params",
                name,
                why=Message(
                    "There is no checkpoint {checkpoint} of the family {family}", checkpoint=value, family=wanted
                ),
            )
    try:
        params = validated(family.training, own, checkpoints.card_of)
    except ValidationError as error:
        raise invalid_params(error) from error
    except OtherShape as error:
        of_size = "size" in error.names and "size" in family.training.model_fields
        raise invalid("params", "size" if of_size else "network", why=error.message) from error
    if given.patience and not family.supports_early_stopping(params):
        raise never_flat()
    if family.problem and (why := family.problem(params, checkpoints.card_of)):
        raise invalid("params", "network", why=why)
    return params, given.steps or preset.steps


def expected(session: Session, family: Family, preset: str, over: dict[str, Any]) -> Estimate | None:
    """What a preset would take with such parameters over it; None where that is more memory than there is."""
    given = TrainingRunIn(name="?", family=family.name, dataset="?", preset=preset, params=over)
    with suppress(Invalid):
        return estimate(session, family, *resolve(family, given), None)
    return None


def never_flat() -> Invalid:
    return invalid("patience", why=Message("A run sharpened by a discriminator never plateaus: give steps or minutes"))


def checkpoint_fields(params: type[BaseModel]) -> dict[str, str]:
    """Of the parameters that name a checkpoint, the family that it must be of."""
    extras = {name: field.json_schema_extra for name, field in params.model_fields.items()}
    return {
        name: str(extra["checkpoint"])
        for name, extra in extras.items()
        if isinstance(extra, dict) and "checkpoint" in extra
    }


def usable(family: str) -> list[str]:
    """Names of the checkpoints of a family, also of those that draw nothing by themselves."""
    return [name for name, card in checkpoints.cards().items() if card["family"] == family]


def source(session: Session, family: Family, dataset: str, size: int, fewest: int) -> tuple[str | None, str]:
    """(dataset id or None, name) of what a run is to see. Raises NotFound, Invalid."""
    if dataset in COLLECTIONS:
        if family.learns != COLLECTIONS[dataset].medium:
            raise invalid("dataset", why=OTHER_MEDIUM)
        own = COLLECTIONS[dataset].size
        if own and own != size:
            why = Message(
                "The pictures of {dataset} are {own} px; this model needs {size}", dataset=dataset, own=own, size=size
            )
            raise invalid("dataset", why=why)
        return None, dataset
    try:
        found = datasets.get(session, str(uuid.UUID(dataset)))
    except ValueError as error:
        raise invalid(
            "dataset", why=Message("This is neither a dataset's id nor the name of a starter collection")
        ) from error
    if found.kind != family.learns:
        raise invalid("dataset", why=OTHER_MEDIUM)
    if (count := datasets.described(session, found).accepted) < fewest:
        raise invalid(
            "dataset",
            why=Message("The dataset has {count} works; training needs {fewest} at least", count=count, fewest=fewest),
        )
    return found.id, found.name


def invalid(*place: str, why: Message) -> Invalid:
    return Invalid(why, errors=[{"loc": ["body", *place], "msg": why}])
