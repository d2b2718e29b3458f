"""What is proposed for a publication, and warned of."""

from __future__ import annotations

from typing import Any

import pytest

from app.database import now
from app.training_runs.proposal import caution, name_for
from app.training_runs.schemas import RunProgress, TrainingRunOut
from models.contract.registry import families


def run(name: str = "Kites", step: int = 100_000, **values: Any) -> TrainingRunOut:
    rest = dict.fromkeys(TrainingRunOut.model_fields)
    given = {"name": name, "family": "gan", "params": {}, "progress": RunProgress(step=step, total=step, share=1.0)}
    return TrainingRunOut.model_construct(**{**rest, "created_at": now(), **given, **values})


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Kites", "kites"),
        ("  My *first* GAN! ", "my-first-gan"),
        ("Café № 5", "cafe-no-5"),
        ("狐狸", "gan"),
        ("狐狸 2", "2"),
        ("x" * 80, "x" * 56),
        ("taken", "taken-3"),
    ],
)
def test_a_name_is_proposed_after_the_title(title: str, name: str) -> None:
    assert name_for(run(title), {"taken", "taken-2"}) == name


def test_a_run_that_was_published_keeps_its_name() -> None:
    assert name_for(run(model="other"), {"other"}) == "other"


def kernel(drawn: float) -> dict[str, Any]:
    return {"kernel_distance_x1000": {"drawn": drawn, "real": -1.0, "blurred": 2857.0, "noise": 7488.0}}


@pytest.mark.parametrize(
    ("figures", "warned"),
    [
        (kernel(57.0), None),
        (kernel(3000.0), "blurred"),
        (kernel(7000.0), "noise"),
        ({"retrieval_seen": {"R@10": 0.45}, "retrieval_over": {"chance_R@10": 0.006}}, None),
        ({"retrieval_seen": {"R@10": 0.01}, "retrieval_over": {"chance_R@10": 0.006}}, "prompt asks"),
        ({"retrieval_seen": {"R@10": 0.6}, "retrieval_over": {"chance_R@10": 0.5}}, None),
    ],
)
def test_a_model_that_draws_noise_is_warned_of_by_its_figures(figures: dict[str, Any], warned: str | None) -> None:
    said = caution(run(step=1), families()["gan"], figures)
    assert said is None if warned is None else warned in str(said)


def test_without_figures_few_steps_are_warned_of_but_not_where_it_went_on_from_a_checkpoint() -> None:
    gan = families()["gan"]
    assert "noise" in str(caution(run(step=20), gan, {}))
    assert caution(run(step=20, params={"start_from": "pixel-faces"}), gan, {}) is None
    assert caution(run(step=max(preset.steps for preset in gan.presets)), gan, {}) is None
