"""One walk through every family and task: a schema becomes a form, a request, a work, and the request again."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from app.artworks.service import request_params
from app.checkpoints.schemas import ModelOut
from app.checkpoints.service import Checkpoint, catalogue, ships
from app.generations import inputs as given_inputs
from app.generations.service import fitting
from app.media import MEDIA
from app.web.forms import fields
from models.contract.family import Family
from models.contract.registry import families
from models.contract.sampling import Inputs, Output, Request, Sampler
from models.contract.tasks import Input, Task
from models.contract.values import MUSIC, PICTURES, TEXTS, Note, Picture, Score, Text, Value
from workers.provenance import provenance

TASKS = [(family, task) for family in families().values() for task in family.tasks]
SHIPPED = [(model, task) for name, model in catalogue().items() if ships(name) for task in model.tasks]
PROMPT = "a red fox"
FIRST = 80  # characters of a text that are compared


def named(part: Family | Checkpoint | Task) -> str:
    return part.name


@pytest.mark.parametrize("family", families().values(), ids=named)
def test_every_dotted_name_leads_to_what_it_names(family: Family) -> None:
    for name, function in (("sampler", "load"), ("loader", "load"), ("trainer", "train"), ("evaluator", "evaluate")):
        if (module := getattr(family, name)) is not None:
            assert callable(getattr(importlib.import_module(module), function)), f"{module}.{function}"
    assert not family.tasks or family.sampler


def filled_in(task: Task, card: dict[str, Any]) -> dict[str, Any]:
    """What a form sends that nobody has changed, but for what has to be said."""
    values: dict[str, Any] = {}
    for field in fields(task.params, task.choices(card)):
        if field.widget == "prompt":
            values[field.name] = PROMPT
        elif field.side == "right":
            values[field.name] = 16
        elif field.choices:
            values[field.name] = field.choices[0]
        elif field.default is not None:
            values[field.name] = field.default
    return values


@pytest.mark.parametrize(("family", "task"), TASKS, ids=named)
def test_a_form_asks_for_all_that_a_task_takes(family: Family, task: Task) -> None:
    made = fields(task.params, {name: ["one"] for name in task.choices({})})
    extras = {name: field.json_schema_extra or {} for name, field in task.params.model_fields.items()}
    assert {field.name for field in made} == {name for name, extra in extras.items() if extra.get("offered", True)}  # type: ignore[union-attr]
    assert all(field.title and field.description for field in made)
    assert task.gives in MEDIA and MEDIA[task.gives].encode is not None
    for given in task.inputs:
        assert given.title and MEDIA[given.medium].decode is not None and 0 <= given.least <= given.most
    assert {extra["of"] for extra in task.params.in_part("weights").values()} <= {each.role for each in task.inputs}


@pytest.mark.parametrize(("model", "task"), SHIPPED, ids=named)
def test_what_a_form_sends_is_a_request_which_its_work_gives_back(model: Checkpoint, task: Task) -> None:
    values, counts = filled_in(task, model.card), {each.role: each.least for each in task.inputs}
    _, params = fitting(model, task.name, values, counts)
    params.seed = 5
    request = Request(task.name, params, 5, {each.role: [value(each, 0, model)] * each.least for each in task.inputs})
    kept, work = MEDIA[task.gives].encode, example(task.gives, 0, model)
    assert kept is not None
    made = provenance(
        model=model.name,
        checkpoint_sha256=model.sha256,
        request=request,
        params=params.model_dump(mode="json"),
        inputs={},
        enlarge={},
        kept=kept(work),
        output=Output(work),
    )
    _, again = fitting(model, task.name, request_params(made), counts)
    assert again == params.model_copy(update={"count": 1})
    (said,) = [each for each in ModelOut.of(model).tasks if each.name == task.name]
    assert [each.role for each in said.inputs] == [each.role for each in task.inputs]
    given_inputs.check_counts(task, params, counts)


def value(given: Input, number: int, model: Checkpoint) -> Value:
    return example(given.medium, number, model)


def example(medium: str, number: int, model: Checkpoint) -> Value:
    """A picture, a text, or four bars in the model's voices."""
    if medium == MUSIC:
        voices = model.card.get("voices", ["Soprano", "Alto", "Tenor", "Bass"])
        random, middles = np.random.default_rng(number), (69, 64, 57, 48)[: len(voices)]
        steps = [(start, i) for start in range(16) for i in range(len(middles))]
        return Score([Note(start, 1, middles[i] + int(random.integers(4)), i) for start, i in steps], 80.0, voices)
    if medium == TEXTS:
        return Text(f"FOOL\nWhy, {number} eggs.")
    assert medium == PICTURES, "extend this with the first task that is given something else"
    shades = np.linspace(0, 255, 48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    return Picture(np.roll(shades, 999 * number))


@pytest.mark.parametrize(("model", "task"), SHIPPED, ids=named)
def test_a_work_is_the_same_alone_and_among_others_and_of_the_medium_that_was_said(
    model: Checkpoint, task: Task
) -> None:
    assert model.family.sampler is not None
    sampler: Sampler = importlib.import_module(model.family.sampler).load(model.folder, torch.device("cpu"))
    _, params = fitting(model, task.name, filled_in(task, model.card), {each.role: each.least for each in task.inputs})

    def request(number: int) -> Request:
        inputs: Inputs = {
            each.role: [value(each, number + i, model) for i in range(each.least)] for each in task.inputs
        }
        return Request(task.name, params, number, inputs)

    batch = [request(0), request(3), request(6)]
    (alone,) = sampler.sample(batch[1:2], lambda *_: None)
    among = sampler.sample(batch, lambda *_: None)[1]
    assert alone.value.medium == among.value.medium == task.gives
    assert alone.facts == among.facts and alone.alone == among.alone
    if isinstance(alone.value, Score):
        assert alone.value.notes and alone.value == among.value
        return
    if isinstance(alone.value, Text):
        assert isinstance(among.value, Text) and len(alone.value.text) > FIRST
        assert alone.value.text[:FIRST] == among.value.text[:FIRST]  # the rest turns on each digit before it
        return
    assert alone.pixels.ndim == 3 and alone.pixels.std() > 0
    # One shape of a product rounds otherwise than another; where the argmax of a token turns on that, a cell differs.
    assert np.abs(alone.pixels.astype(int) - among.pixels).mean() <= 1
