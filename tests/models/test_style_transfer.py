"""Style transfer: a network that tells pictures from their styles, any size without seams, and what is refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.datasets.prepared import Item, write_prepared
from models.checkpoint import read_card
from models.contract.sampling import Request, Unfit
from models.contract.values import Picture, Pixels
from models.data.pictures import Collection, open_collection, to_unit
from models.measure.effort import Effort
from models.style_transfer import sample, spec
from models.style_transfer.evaluate import evaluate
from models.style_transfer.network import StyleTransferNetwork
from models.style_transfer.objective import StyleTransferLoss, sliced_wasserstein
from models.style_transfer.sample import StyleTransferSampler, load
from models.style_transfer.spec import (
    StyleTransferConfig,
    StyleTransferParams,
    StyleTransferTraining,
    cost,
    problem,
    sampling_cost,
)
from models.style_transfer.train import MEASURED, SHOWN, partners, shown, train
from models.training.examples import one_of_each_style
from models.training.run import Run

CONFIG = StyleTransferConfig(widths=(8, 16, 24), blocks=1, style_width=16, style=16)
RANDOM = np.random.default_rng(0)


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    """Smooth, with edges."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(16, 0).repeat(16, 1)[:height, :width])


@pytest.fixture
def sampler() -> StyleTransferSampler:
    torch.manual_seed(0)
    network = StyleTransferNetwork(CONFIG)
    torch.nn.init.normal_(network.modulation.weight, std=0.2)
    return StyleTransferSampler(network.eval())


def asked(image: Pixels, *styles: Pixels, mask: Pixels | None = None, **more: Any) -> Request:
    inputs: Any = {"image": [Picture(image)], "style": [Picture(each) for each in styles]}
    if mask is not None:
        inputs["mask"] = [Picture(mask)]
    return Request("style-transfer", StyleTransferParams(**more), 0, inputs)


def drawn(sampler: StyleTransferSampler, request: Request) -> Pixels:
    return sampler.sample([request], lambda *_: None)[0].pixels


def test_the_usual_network_is_small() -> None:
    assert sum(p.numel() for p in StyleTransferNetwork(StyleTransferConfig()).parameters()) <= 1_000_000


def test_styles_count_by_their_weights(sampler: StyleTransferSampler) -> None:
    content, one, other = picture(64, 96), picture(80, 80, 1), picture(70, 120, 2)
    alone = [drawn(sampler, asked(content, style)) for style in (one, other)]
    assert alone[0].shape == content.shape and not np.array_equal(*alone)
    for weights, wanted in (([1, 0], alone[0]), ([0, 1], alone[1])):
        found = drawn(sampler, asked(content, one, other, style_weights=weights))
        assert np.abs(found.astype(int) - wanted).max() <= 1
    both = drawn(sampler, asked(content, one, other)).astype(float)
    assert all(np.abs(both - each).mean() < np.abs(alone[0].astype(float) - alone[1]).mean() for each in alone)


def test_strength_begins_at_the_pictures_own_style(sampler: StyleTransferSampler) -> None:
    content, style = picture(64, 64), picture(64, 64, 1)
    own = drawn(sampler, asked(content, content))
    apart = [
        np.abs(drawn(sampler, asked(content, style, strength=strength)).astype(float) - own).mean()
        for strength in (0.0, 0.5, 1.0)
    ]
    assert apart[0] < 1 < apart[1] < apart[2]


def test_colours_may_stay(sampler: StyleTransferSampler) -> None:
    content = picture(64, 64).copy()
    content[..., 1:] = content[..., :1] // 2 + 60
    changed = drawn(sampler, asked(content, picture(64, 64, 1), keep_colours=True)).astype(float)
    whole = (changed > 0).all(-1) & (changed < 255).all(-1)
    assert whole.mean() > 0.2
    for a, b in ((0, 1), (1, 2)):
        difference = (changed[..., a] - changed[..., b]) - (content[..., a].astype(float) - content[..., b])
        assert np.abs(difference[whole]).max() <= 2, "only light and shade change"


def test_a_mask_keeps_the_rest_bit_for_bit(sampler: StyleTransferSampler) -> None:
    content, mask = picture(64, 96), np.zeros((64, 96, 3), np.uint8)
    mask[:, 48:] = 255
    mask[:, 40:48] = 128
    made, whole = (drawn(sampler, asked(content, picture(64, 64, 1), mask=given)) for given in (mask, None))
    assert np.array_equal(made[:, :40], content[:, :40]) and np.array_equal(made[:, 48:], whole[:, 48:])
    between = (made[:, 40:48] - (content[:, 40:48] / 2 + whole[:, 40:48] / 2)).round()
    assert np.abs(between).max() <= 2
    with pytest.raises(Unfit, match="mask"):
        drawn(sampler, asked(content, picture(64, 64, 1), mask=mask[:32]))


@pytest.mark.parametrize("size", [(8, 8), (9, 200), (130, 67), (257, 31)])
def test_any_size_comes_back_as_large(size: tuple[int, int], sampler: StyleTransferSampler) -> None:
    for scale in (0.5, 1.0, 2.0):
        assert drawn(sampler, asked(picture(*size), picture(30, 30, 1), stroke_scale=scale)).shape == (*size, 3)


def test_tiles_have_no_seams(sampler: StyleTransferSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    request = asked(picture(200, 264), picture(64, 64, 1))
    whole = drawn(sampler, request)
    monkeypatch.setattr(sample, "TILE", 64)
    told: list[tuple[int, int]] = []
    tiled = sampler.sample([request], lambda step, total, previews: told.append((step, total)))[0].pixels
    assert np.abs(tiled.astype(int) - whole).max() <= 2 and told[-1] == (20, 20)
    monkeypatch.setattr(sample, "THUMBNAIL", 100)  # statistics of a small version are nearly those of the whole
    assert np.abs(drawn(sampler, request).astype(float) - whole).mean() < 20


def test_a_live_frame_between_two_tiles_changes_nothing(
    sampler: StyleTransferSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are drawn by another thread with the same network."""
    monkeypatch.setattr(sample, "TILE", 64)
    large, small = asked(picture(128, 128), picture(64, 64, 1)), asked(picture(72, 72, 5), picture(64, 64, 6))
    alone = drawn(sampler, large)

    def live(step: int, *_: Any) -> None:
        if step == 2:
            thread = threading.Thread(target=drawn, args=(sampler, small))
            thread.start()
            thread.join(60)

    assert np.array_equal(sampler.sample([large], live)[0].pixels, alone)


def test_what_cannot_be_worked_on_is_said(sampler: StyleTransferSampler) -> None:
    for content, style in ((picture(1, 300), picture(64, 64)), (picture(64, 64), picture(1, 1))):
        with pytest.raises(Unfit, match="at least"):
            drawn(sampler, asked(content, style))
    with pytest.raises(Unfit, match="8000"):
        drawn(sampler, asked(picture(20, 8000), picture(64, 64)))


def test_a_picture_that_is_too_large_is_made_smaller_and_this_is_said(
    sampler: StyleTransferSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "LARGEST", 128)
    content, mask = picture(200, 256), np.zeros((200, 256, 3), np.uint8)
    mask[:, 144:] = 255
    for scale, size in ((1.0, (100, 128)), (0.5, (50, 64))):
        (made,) = sampler.sample([asked(content, content, mask=mask, stroke_scale=scale)], lambda *_: None)
        height, width = size
        small = np.asarray(Image.fromarray(content).resize((width, height), Image.Resampling.LANCZOS))
        kept = 144 * width // 256
        assert made.pixels.shape == small.shape and np.array_equal(made.pixels[:, :kept], small[:, :kept])
        assert not np.array_equal(made.pixels[:, kept:], small[:, kept:])
        assert made.remark is not None and f"{width} x {height}" in str(made.remark)
    (alike,) = sampler.sample([asked(picture(64, 64), content)], lambda *_: None)
    assert alike.remark is None


def test_requests_that_do_not_fit_together_are_refused() -> None:
    size, small = {"width": 64, "height": 64}, {"width": 32, "height": 64}
    assert problem(StyleTransferParams(), {"image": [size], "style": [size, size]}) is None
    for sizes, role in (
        ({"image": [size], "style": [size], "mask": [small]}, "mask"),
        ({"image": [{"width": 4000, "height": 12}], "style": [size]}, "image"),
        ({"image": [size], "style": [{"width": 1, "height": 1}]}, "style"),
    ):
        found = problem(StyleTransferParams(), sizes)
        assert found is not None and found[0] == role
    for given in ({"count": 2}, {"style_weights": [0, 0]}, {"strength": 2}, {"stroke_scale": 0}):
        with pytest.raises(ValueError):
            StyleTransferParams(**given)
    large, unit = ({"image": [{"width": side, "height": side}]} for side in (2048, 256))
    usual = sampling_cost(StyleTransferParams(), large)
    assert usual == 64 * sampling_cost(StyleTransferParams(), unit)
    half = {"image": [{"width": 1024, "height": 1024}]}
    fine = sampling_cost(StyleTransferParams(stroke_scale=0.5), half)
    assert fine == 4 * sampling_cost(StyleTransferParams(), half)
    assert fine == sampling_cost(StyleTransferParams(stroke_scale=0.5), large), "which is made smaller first"
    assert usual < sampling_cost(StyleTransferParams(stroke_scale=2), large) < 2 * usual


def test_distributions_are_compared_wherever_things_are() -> None:
    random = torch.Generator().manual_seed(0)
    maps = torch.rand(1, 4, 16, 16, generator=random)
    moved = maps.flatten(2)[..., torch.randperm(256, generator=random)].view_as(maps)

    def distance(other: torch.Tensor) -> float:
        return float(sliced_wasserstein(maps, other, torch.Generator().manual_seed(1)))

    assert distance(moved) < 1e-9 < 1e-3 < distance(maps**2) < distance(maps**8)
    assert distance(torch.rand(1, 4, 24, 24, generator=random)) < distance(maps**2), "sizes may differ"


@pytest.fixture(scope="module")
def loss() -> StyleTransferLoss:
    return StyleTransferLoss()


def unit(seed: int) -> torch.Tensor:
    return to_unit(torch.from_numpy(picture(128, 128, seed).copy()).permute(2, 0, 1)[None])


def test_content_and_style_are_told_apart(loss: StyleTransferLoss) -> None:
    one, other = unit(1), unit(2)

    def distances(made: torch.Tensor) -> list[float]:
        return [float(each) for each in loss(made, one, other, 0)]

    (own_content, own_style), (content, style) = distances(one), distances(other)
    assert own_content < 1e-6 < content and style < 0.2 * own_style, "chance places apart"
    turned_content, turned_style = distances(other.flip(-1))
    assert turned_style < 0.3 * own_style and turned_content > 0.3 * content


def test_a_batch_loses_what_its_pictures_lose_apart(loss: StyleTransferLoss) -> None:
    made, content, style = (torch.cat([unit(seed + i) for i in range(3)]) for seed in (1, 4, 7))
    whole = loss(made, content, style, 5)
    apart = torch.cat([loss(made[i : i + 1], content[i : i + 1], style[i : i + 1], 5) for i in range(3)], 1)
    assert torch.allclose(whole, apart, rtol=1e-4)


def test_gradients_know_of_contrast(loss: StyleTransferLoss) -> None:
    """What is too loud is lost to: else pictures run away to where their colours end."""
    style = unit(3)
    found = [float(loss((style * factor).clamp(-3, 3), style, style, 0)[1]) for factor in (0.5, 1.0, 1.6)]
    assert found[1] < found[0] and found[1] < found[2]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    splits = ["train"] * 8 + ["held_out"] * 3
    items = [
        (Item(f"{i}", f"{i}", f"{i}", "", split, "a", "甲", ["a"], mirrorable=True), picture(72, 72, i))
        for i, split in enumerate(splits)
    ]
    write_prepared(folder, items, {"name": "tiny"})
    return open_collection(folder)


def training(**more: Any) -> StyleTransferTraining:
    return StyleTransferTraining(network=CONFIG, size=72, crop=64, batch_size=2, **more)


def test_training_brings_pictures_nearer_to_their_styles(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", steps=100, echo=False)
    train(training(learning_rate=3e-3, ema_decay=0.9), collection, run)
    style = [value for _, value in run.folder.curves()["held_out_style_distance"]]
    assert style[-1] < 0.85 * style[0]
    figures, sheet = evaluate(run.folder.model, collection, tmp_path, Effort(3))
    assert figures == {} and sheet.shape[2] == 3, "of three pictures nothing is said"
    monkeypatch.setattr("models.style_transfer.evaluate.PAIRS", 16)
    monkeypatch.setattr("models.style_transfer.evaluate.FEWEST", 3)
    figures, _ = evaluate(run.folder.model, collection, tmp_path, Effort(16))
    assert figures["copied_content"]["content_distance"] < 1e-3 > figures["copied_style"]["style_distance"]
    assert figures["pairs"] == 16 and all(figure > 0 for figure in figures["transferred"].values())
    examples = read_card(run.folder.model)["examples"]
    assert [each["role"] for each in examples] == ["style"] * len(examples) and examples
    for each in examples:
        with Image.open(run.folder.model / each["file"]) as brought:
            assert brought.size == (collection.images.shape[2], collection.images.shape[1])
    made = load(run.folder.model, torch.device("cpu"))
    one, other = (drawn(made, asked(picture(64, 64), picture(64, 64, seed))).astype(float) for seed in (1, 2))
    assert np.abs(one - other).mean() > 1, "the style picture counts"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_pictures_are_measured_in_the_styles_of_others(count: int, tmp_path: Path) -> None:
    items = [
        (Item(f"{i}", f"{i}", f"{i}", f"style {i % count}", "held_out", "a", "甲", ["a"]), picture(72, 72, i))
        for i in range(24)
    ]
    write_prepared(tmp_path / "some", items, {"name": "some"})
    data = open_collection(tmp_path / "some")
    places = shown(data)
    styles = [data.items[i]["style"] for i in places]
    assert len({*places.tolist()}) == MEASURED and len({*styles[:SHOWN]}) == min(count, SHOWN)
    others = partners(data, places)
    assert all(i != j and (count == 1 or styles[i] != styles[j]) for i, j in enumerate(others))


def test_what_may_not_be_passed_on_is_no_example(tmp_path: Path) -> None:
    items = [
        (Item(f"{i}", f"{i}", f"{i}", style, "train", style, "甲", ["a"]), picture(72, 72, i))
        for i, style in enumerate(["flat", "a painting", "line"])
    ]
    write_prepared(tmp_path / "art", items, {"name": "art", "not_redistributed": ["a painting"]})
    said, files = one_of_each_style(open_collection(tmp_path / "art"), "style")
    assert [each["title"] for each in said] == ["flat", "line"] and len(files) == 2
    write_prepared(tmp_path / "none", items[1:2], {"name": "none", "not_redistributed": ["a painting"]})
    assert one_of_each_style(open_collection(tmp_path / "none"), "style") == ([], {})


def test_costs_grow_with_what_is_trained() -> None:
    usual, sharp = cost(StyleTransferTraining()), cost(StyleTransferTraining(adversarial_weight=0.1))
    large = cost(StyleTransferTraining(crop=256, network=StyleTransferConfig(blocks=6)))
    assert large.items_per_second < usual.items_per_second > sharp.items_per_second
    assert large.item_bytes > usual.item_bytes < sharp.item_bytes
