"""Every control that a form offers changes what is made, for each model that ships."""

import importlib
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from app.checkpoints.service import Checkpoint
from app.web.forms import Field, fields
from models.contract.card import ZOO, read_card
from models.contract.family import Family
from models.contract.registry import families
from models.contract.samples import PIECES, SAMPLES, read_pieces
from models.contract.sampling import Request, Sampler
from models.contract.tasks import VARIATION, Task
from models.contract.values import Picture, Score, Text

LEAST = 1.0  # of 255, that two pictures differ by in the mean
MODELS = [
    "chorales",
    "chorales-gan",
    "chorales-vae",
    "drama",
    "drawings-transformer",
    "drawings-upscaler",
    "emoji-mixing",
    "open-peeps",
    "pixel-faces",
    "pixel-faces-vae",
    "style-transfer",
    "tunes",
]
SIDES = {"left", "top", "right", "bottom"}
BARS = {"bars", "first_bar", "last_bar"}
SHORT = 2  # bars, which say as much as long pieces
WORDS = {"prompt", "negative_prompt", "speaker", "opening", "others"}
BY_ITSELF = {"seed", "count", "path", *WORDS, *SIDES, *BARS}  # other tests have them


def tasks() -> list[tuple[str, Task]]:
    return [(name, task) for name in MODELS for task in Checkpoint(name, ZOO / name, *family_of(name)).tasks]


def family_of(name: str) -> tuple[Family, dict[str, Any]]:
    card = read_card(ZOO / name)
    return families()[card["family"]], card


@cache
def sampler(name: str) -> Sampler:
    family, _ = family_of(name)
    made: Sampler = importlib.import_module(family.sampler).load(ZOO / name, torch.device("cpu"))
    return made


@cache
def given(name: str) -> list[Picture] | list[Score]:
    """Three pictures of the model's sheet, or its pieces; what enlarges is given small ones of another."""
    if (pieces := (ZOO / name / SAMPLES).with_suffix(PIECES)).exists():
        return [shortened(piece) for piece in read_pieces(pieces)[:3]]
    name = "drawings-transformer" if name == "drawings-upscaler" else name
    sheet = np.asarray(Image.open(ZOO / name / "samples.png").convert("RGB"))
    side = read_card(ZOO / name)["config"].get("size", 64)
    first = 2 if name == "style-transfer" else 0  # whose corner is empty
    return [Picture(np.ascontiguousarray(sheet[:side, side * i : side * (i + 1)])) for i in range(first, first + 6, 2)]


def shortened(piece: Score) -> Score:
    return replace(piece, notes=[note for note in piece.notes if note.start + note.duration <= SHORT * piece.bar])


def draw(name: str, task: Task, **params: Any) -> npt.NDArray[np.float64]:
    if "prompt" in task.params.model_fields:
        params["prompt"] = "a blue teapot"
    if task.params.model_fields.keys() >= SIDES:
        params["right"] = 64
    if "bars" in task.params.model_fields:
        params["bars"] = SHORT
    checked = task.params.model_validate({"seed": 3, **params})
    inputs = {each.role: given(name)[: max(each.least, min(2, each.most))] for each in task.inputs}
    assert checked.seed is not None
    request = Request(task.name, checked, checked.seed, inputs, 0)
    value = sampler(name).sample([request], lambda *_: None)[0].value
    if isinstance(value, Score):
        return np.array([(n.start, n.duration, n.pitch, n.part, value.tempo, *value.metre) for n in value.notes])
    if isinstance(value, Text):
        return np.array([[ord(character)] for character in value.text], float)
    assert isinstance(value, Picture)
    return value.pixels.astype(float)


def differ(first: npt.NDArray[np.float64], last: npt.NDArray[np.float64]) -> bool:
    """Pictures to the eye; pieces and texts, whose rows are notes and characters, at all."""
    if first.ndim == 2 or first.shape != last.shape:
        return not np.array_equal(first, last)
    return bool(np.abs(first - last).mean() > LEAST)


def ends(control: Field) -> list[Any]:
    """The two ends of what its form offers."""
    if control.widget == "weights":
        return [[1, 0], [0, 1]]
    if control.widget == "boolean":
        return [False, True]
    if control.choices:
        return [control.choices[0], control.choices[-1]]
    assert control.minimum is not None and control.maximum is not None, f"{control.name} has no ends"
    kind = int if control.widget == "integer" else float
    return [kind(control.minimum), kind(control.maximum if control.most is None else control.most)]


def offered(name: str, task: Task) -> list[Field]:
    return fields(task.params, task.choices(read_card(ZOO / name)))


@pytest.mark.parametrize(("name", "task"), tasks(), ids=lambda each: getattr(each, "name", each))
def test_every_control_has_an_effect(name: str, task: Task) -> None:
    controls = {control.name: control for control in offered(name, task)}
    for control in controls.values():
        if control.name in BY_ITSELF:
            continue
        needed = {control.needs: ends(controls[control.needs])[1]} if control.needs else {}
        first, last = (draw(name, task, **needed, **{control.name: end}) for end in ends(control))
        assert differ(first, last), f"{control.name} changes nothing"


@pytest.mark.parametrize(("name", "task"), tasks(), ids=lambda each: getattr(each, "name", each))
def test_a_seed_is_offered_where_it_has_an_effect(name: str, task: Task) -> None:
    controls = {control.name: control for control in offered(name, task)}
    if "seed" not in controls:
        assert np.array_equal(draw(name, task), draw(name, task, seed=4))
        return
    if needed := controls["seed"].needs:
        assert np.array_equal(draw(name, task, **{needed: 0}), draw(name, task, **{needed: 0}, seed=4))
    more = {needed: 1} if needed else {}
    assert differ(draw(name, task, **more), draw(name, task, **more, seed=4))


def test_what_needs_a_parameter_that_is_not_offered_is_not_either() -> None:
    assert not {"direction", "amount"} & {each.name for each in fields(VARIATION.params, {"direction": []})}
    with_some = fields(VARIATION.params, {"direction": ["a smile"]})
    assert next(each for each in with_some if each.name == "amount").needs == "direction"
