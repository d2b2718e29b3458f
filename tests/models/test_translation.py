"""Unpaired translation: two styles learnt from pictures of each, both directions, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.datasets.prepared import Item, write_prepared
from models.contract.card import read_card
from models.contract.sampling import Request, Unfit
from models.contract.values import Picture, Pixels
from models.data.pictures import Collection, Unsuitable, open_collection
from models.measure.effort import Effort
from models.training.run import Run
from models.translation.evaluate import evaluate
from models.translation.network import Generator, Heads, TranslationNetwork
from models.translation.sample import TranslationSampler, load
from models.translation.spec import TranslationConfig, TranslationParams, TranslationTraining, cost
from models.translation.train import train

CONFIG = TranslationConfig(size=32, widths=(8, 16, 24), blocks=2)
STYLES = ["dark", "light"]


def disc(style: str, seed: int) -> Pixels:
    """A disc at some place: bright upon black, or dark upon white."""
    random = np.random.default_rng(seed)
    x, y, radius = (int(random.integers(*bounds)) for bounds in ((10, 22), (10, 22), (4, 9)))
    rows, columns = np.ogrid[:32, :32]
    inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    back, front = (20, 160) if style == "dark" else (235, 90)
    made = np.full((32, 32, 3), back, np.uint8)
    made[inside] = front
    return made


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("data") / "discs"
    items = []
    for i in range(48):
        style, split = STYLES[i % 2], "held_out" if i >= 32 else "train"
        items.append((Item(f"{i}", f"{i}", f"{i}", style, split, "a", "甲", ["a disc"]), disc(style, i)))
    write_prepared(folder, items, {"name": "discs"})
    return open_collection(folder)


def training(**more: Any) -> TranslationTraining:
    return TranslationTraining(network=CONFIG, batch_size=4, **more)


def asked(image: Pixels, **more: Any) -> Request:
    return Request("image-translation", TranslationParams(**more), 0, {"image": [Picture(image)]})


def test_places_are_most_like_themselves() -> None:
    torch.manual_seed(0)
    generator, heads = Generator(CONFIG), Heads(CONFIG)
    maps = generator.maps(torch.rand(2, 3, 32, 32))

    def loss(other: list[torch.Tensor]) -> float:
        return float(heads(other, maps, torch.Generator().manual_seed(1)).detach())

    assert loss(maps) < 0.7 * loss([each.flip(-1) for each in maps])


def test_both_directions_are_learnt(collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "run", steps=120, echo=False)
    train(training(learning_rate=2e-3, ema_decay=0.9), collection, run)
    card = read_card(run.folder.model)
    assert card["labels"] == STYLES and set(run.folder.curves()) >= {"contrastive", "identity", "margin"}
    sampler = load(run.folder.model, torch.device("cpu"))
    for wanted, other in (("light", "dark"), ("dark", "light")):
        batch = [asked(disc(other, seed), style=wanted) for seed in range(90, 98)]
        made = np.mean([output.pixels.mean() for output in sampler.sample(batch, lambda *_: None)])
        real = {style: np.mean([disc(style, seed).mean() for seed in range(90, 98)]) for style in STYLES}
        assert abs(made - real[wanted]) < abs(made - real[other]), f"into {wanted}"
        alike = []
        for request, output in zip(batch, sampler.sample(batch, lambda *_: None), strict=True):
            given, found = (x.astype(float).mean(-1).ravel() for x in (request.images[0], output.pixels))
            alike.append(abs(np.corrcoef(given, found)[0, 1]))
        assert np.mean(alike) > 0.5, "the disc stays where it was"
    monkeypatch.setattr("models.translation.evaluate.FEWEST", 4)
    figures, sheet = evaluate(run.folder.model, collection, tmp_path, Effort(16))
    assert figures["taken_for_light_real"] > 0.8 > 0.2 > figures["taken_for_light_before"]
    assert figures["taken_for_dark"] > figures["taken_for_dark_before"] and sheet.shape[0] == 4 * 32
    again = Run(tmp_path / "again", steps=1, echo=False, published=tmp_path)
    (tmp_path / "start").symlink_to(run.folder.model)
    train(training(learning_rate=1e-9, start_from="start", first="light", second="dark"), collection, again)
    exchanged = load(again.folder.model, torch.device("cpu"))
    one, other = (
        each.sample([asked(disc("dark", 1), style="light")], lambda *_: None)[0].pixels.astype(int)
        for each in (sampler, exchanged)
    )
    assert np.abs(one - other).max() <= 3, "each goes on as what it was, in whatever order they are named"
    assert evaluate(run.folder.model, collection, tmp_path, Effort(3))[0] == {}


def test_styles_that_are_not_there_are_named(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(Unsuitable, match="dark, light"):
        train(training(first="dark", second="red"), collection, Run(tmp_path / "run", steps=1, echo=False))
    with pytest.raises(ValueError, match="differ"):
        training(first="dark", second="dark")


def test_any_size_is_translated_in_its_proportions() -> None:
    sampler = TranslationSampler(TranslationNetwork(CONFIG).eval(), {"labels": STYLES})
    for given, made in (((100, 100), (32, 32)), ((8, 300), (8, 32)), ((500, 250), (32, 16)), ((16, 16), (32, 32))):
        (output,) = sampler.sample([asked(np.zeros((*given, 3), np.uint8))], lambda *_: None)
        assert output.pixels.shape == (*made, 3)
    (usual,), (second,), (first,) = (
        sampler.sample([asked(disc("dark", 1), **more)], lambda *_: None)
        for more in ({}, {"style": "light"}, {"style": "dark"})
    )
    assert np.array_equal(usual.pixels, second.pixels) and not np.array_equal(usual.pixels, first.pixels)
    for image, more in ((np.zeros((1, 64, 3), np.uint8), {}), (disc("dark", 1), {"style": "red"})):
        with pytest.raises(Unfit):
            sampler.sample([asked(image, **more)], lambda *_: None)
    with pytest.raises(ValueError, match="one work only"):
        TranslationParams(count=2)


def test_costs_grow_with_what_is_trained() -> None:
    usual, large = cost(TranslationTraining()), cost(TranslationTraining(network=TranslationConfig(size=128)))
    assert large.item_bytes > 3 * usual.item_bytes and large.items_per_second < usual.items_per_second / 3
