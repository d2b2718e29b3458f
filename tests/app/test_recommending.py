"""What is recommended follows from what a dataset holds."""

from __future__ import annotations

from typing import Any

import pytest

from app.database import new_id, session_scope
from app.datasets import service as datasets
from app.datasets.schemas import DatasetIn
from app.errors import NotFound
from app.training_runs import planning
from app.training_runs.recommending import Holding, from_chance, from_words, in_a_style, recommendations
from app.training_runs.schemas import TrainingRunIn


def holding(count: int = 500, captioned: int | None = None, side: int = 512, paired: bool = False) -> Holding:
    return Holding("pictures", count, count if captioned is None else captioned, side, paired)


@pytest.mark.parametrize(
    ("has", "preset", "start", "problem"),
    [
        (holding(500), "good", "drawings-transformer", None),
        (holding(40), "quick", "drawings-transformer", None),
        (holding(500, 0), "good", "drawings-transformer", "none of these"),
    ],
)
def test_words_need_captions(has: Holding, preset: str, start: str, problem: str | None) -> None:
    made = from_words(has)
    assert (made.preset, made.start) == (preset, start)
    assert made.problem is None if problem is None else problem in str(made.problem)


def test_that_few_pictures_have_captions_is_said() -> None:
    assert "20 of 500" in str(from_words(holding(500, 20)).reasons[0])
    assert "of 500" not in str(from_words(holding(500, 400)).reasons)


@pytest.mark.parametrize(
    ("has", "preset", "size", "start"),
    [
        (holding(40), "few", 64, "open-peeps"),
        (holding(40, side=32), "few", 32, "pixel-faces"),
        (holding(5000), "good", 64, None),
        (holding(5000, side=28), "good", 32, None),
    ],
)
def test_chance_starts_from_a_gan_of_the_size_where_pictures_are_few(
    has: Holding, preset: str, size: int, start: str | None
) -> None:
    made = from_chance(has)
    assert (made.preset, made.params["size"], made.start) == (preset, size, start)
    assert f"size={size}" in made.address("x") and "preset=" in made.address("x")


def test_what_cannot_be_learnt_says_why() -> None:
    assert "10" in str(from_chance(holding(9)).problem)
    assert in_a_style(holding()).problem == planning.NO_PAIRS
    assert in_a_style(holding(paired=True)).problem is None


@pytest.mark.usefixtures("in_process")
def test_every_recommendation_can_be_launched_as_it_is() -> None:
    with session_scope() as session:
        for goal in recommendations(session, "emoji"):
            assert goal.problem is None and goal.expected is not None and goal.expected.seconds > 0
            given: dict[str, Any] = {"name": "x", "family": goal.family, "preset": goal.preset, "params": goal.params}
            family, params, _ = planning.planned(TrainingRunIn(dataset="emoji", **given))
            size = family.picture_size(params, planning.checkpoints.card_of) if family.picture_size else 0
            planning.source(session, family, "emoji", size, 1)


@pytest.mark.usefixtures("in_process")
def test_an_empty_dataset_and_none_at_all() -> None:
    with session_scope() as session:
        empty = datasets.create(session, None, DatasetIn(name="empty"))
        session.flush()
        assert all(goal.problem for goal in recommendations(session, empty.id))
        for unknown in (new_id(), "no dataset", "../emoji"):
            with pytest.raises(NotFound):
                recommendations(session, unknown)
