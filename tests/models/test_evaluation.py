"""What is measured of a new model ends up in its card; a measurement that fails says so there."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.datasets.prepared import Item, write_prepared
from models.contract.card import ZOO, read_card
from models.contract.publication import publish
from models.data.pictures import Collection, open_collection
from models.measure.effort import FEWEST, TOO_FEW, Effort
from models.measure.evaluation import measure
from models.measure.styles import in_every_style
from models.training import process
from models.training.run import Run
from tests.models.test_training import TRAINERS

OF_CHANCE = {"kernel_distance_x1000", "precision", "recall", "density", "coverage"}
MANY = 24  # pictures that are drawn, instead of a thousand


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """A third of it is held out."""
    for module in ("models.measure.likeness", "models.measure.chance"):
        monkeypatch.setattr(f"{module}.MOST", MANY)
    random = np.random.default_rng(0)
    items = []
    for i in range(60):
        item = Item(str(i), str(i), str(i), "", ["train", "train", "concept"][i % 3], "a", "甲", [f"thing {i}"])
        items.append((item, np.full((64, 64, 3), random.integers(0, 256, 3), np.uint8)))
    write_prepared(tmp_path / "plain", items, {"name": "plain"})
    return open_collection(tmp_path / "plain")


def trained(family: str, data: Collection, folder: Path) -> Run:
    train: Any
    train, params = TRAINERS[family]
    run = Run(folder, steps=2, echo=False)
    train(params, data, run)
    return run


@pytest.mark.parametrize("family", ["gan", "vae"])
def test_pictures_from_chance_are_measured(family: str, collection: Collection, tmp_path: Path) -> None:
    model = trained(family, collection, tmp_path).folder.model
    found = measure(model, collection)
    assert found.keys() >= OF_CHANCE
    drawn, real, noise = (found["kernel_distance_x1000"][name] for name in ("drawn", "real", "noise"))
    assert all(math.isfinite(value) for value in (drawn, real, noise)) and drawn > real
    copies = found["nearest_training_picture_cosine_distance"]
    assert {"drawn", "drawn_nearest_5_%", "real_held_out"} <= copies.keys() and copies["drawn"] > 0
    assert {**read_card(model)["figures"], **found} == read_card(model)["figures"]
    with Image.open(model / "samples.png") as sheet:
        assert sheet.width > 64
    if "vae" in family:  # more draws bring the bound nearer to the truth: fewer bits
        bits = [found[f"bits_a_number_k{draws}"] for draws in (1, 64, 512)]
        assert bits[2] <= bits[1] <= bits[0] and found["latents_in_use"] >= 0


def test_of_a_few_pictures_there_is_a_sheet_and_no_figure(collection: Collection, tmp_path: Path) -> None:
    few = Collection(collection.folder, collection.images[:15], collection.items[:15], collection.card)
    for item in few.items:
        item["split"] = "train"
    for family in ("gan", "vae"):
        model = trained(family, collection, tmp_path / family).folder.model
        before = read_card(model).get("figures", {})
        assert measure(model, few) == {}
        card = read_card(model)
        assert card.get("figures", {}) == before and card["not_measured"] == TOO_FEW
        assert (model / "samples.png").is_file()


def test_in_less_time_fewer_pictures_are_measured() -> None:
    slow, quick = (lambda count: time.sleep(0.002 * count)), (lambda count: None)
    assert 16 < Effort(1000, 1.0).most(1000, slow) <= 500
    assert Effort(1000, 1.0).most(1000, slow, slow) <= 250
    assert Effort(1000, 1.0).most(1000, quick) == Effort(1000).most(1000, slow) == 1000
    assert Effort(1000, 1e-6).most(1000, slow) == FEWEST and Effort(1000, 1e-6).most(5, slow) == 5


def test_a_measurement_that_fails_is_told_in_the_card(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("gan", collection, tmp_path)

    def fails(*_: object) -> dict[str, Any]:
        raise ValueError("no features")

    monkeypatch.setattr(process, "measure", fails)
    process.evaluate(collection, run)
    assert read_card(run.folder.model)["not_measured"] == "ValueError: no features"
    measure(run.folder.model, collection)
    assert "not_measured" not in read_card(run.folder.model)


def test_a_model_shows_every_style_of_its_card(tmp_path: Path) -> None:
    folder = ZOO / "drawings-transformer"
    card = read_card(folder)
    row = in_every_style(folder, {**card, "styles": card["styles"][:2]}, ZOO)
    assert row.size == (128, 64) and row.crop((0, 0, 64, 64)).tobytes() != row.crop((64, 0, 128, 64)).tobytes()
    assert (publish(folder, tmp_path, "copied") / "styles.png").is_file()
