"""LoRAs trained upon tiny pipelines of each architecture: learnt, resumed, drawn with, refused where they must be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.datasets.prepare.pictures import at_the_beginning
from app.datasets.prepared import Item, write_prepared
from models.adopt import adopt
from models.contract.adapters import fits
from models.contract.card import CheckpointError, read_card
from models.contract.pipelines import ARCHITECTURES
from models.contract.registry import families
from models.contract.sampling import Request
from models.data.pictures import Collection, open_collection
from models.pretrained.load import open_pipeline
from models.pretrained.lora.objective import Texts, objective
from models.pretrained.lora.train import train
from models.pretrained.lora_spec import LoraConfig, LoraTraining, problem
from models.pretrained.sample import load
from models.pretrained.spec import TextToImageParams
from models.training.run import Run, Stopped
from tests.support import pipelines

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages among themselves
SIZE = 64


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    pictures = np.random.default_rng(0).integers(0, 255, (6, SIZE, SIZE, 3), dtype=np.uint8)
    splits = ["train"] * 4 + ["held_out"] * 2
    items = [
        (Item(f"{i}", f"{i}", f"{i}", "", split, "a", "甲", ["a red fox"] if i else [], mirrorable=True), picture)
        for i, (split, picture) in enumerate(zip(splits, pictures, strict=True))
    ]
    write_prepared(folder, items, {"name": "tiny"})
    return open_collection(folder)


def training(name: str, **more: Any) -> LoraTraining:
    network = LoraConfig(rank=4, alpha=8)
    return LoraTraining(
        network=network, pipeline=name, size=SIZE, batch_size=2, learning_rate=0.01, watched=["a fox"], **more
    )


def trained(
    name: str, folders: Callable[[str], Path], data: Collection, path: Path, steps: int = 6, **more: Any
) -> Path:
    run = Run(path, steps=steps, echo=False, published=folders(name).parent)
    train(training(name, **more), data, run)
    return run.folder.model


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_what_is_trained_is_an_adapter_for_its_pipeline_and_has_effect(
    name: str, folders: Callable[[str], Path], collection: Collection, tmp_path: Path
) -> None:
    model = trained(name, folders, collection, tmp_path / "run", word="zxc", less_memory=name == "sd")
    card = read_card(model)
    assert card["family"] == "lora" and card["config"]["rank"] == 4 and fits(card, read_card(folders(name)))
    assert card["builds_on"] == [{"role": "pipeline", "name": name, "sha256": read_card(folders(name))["sha256"]}]
    assert list((tmp_path / "run" / "samples").iterdir()), "its watched prompts are drawn"
    published = folders(name).with_name(f"{name}-taught")
    shutil.copytree(model, published)
    sampler = load(folders(name), torch.device("cpu"))

    def drawn(*adapters: dict[str, Any]) -> Any:
        params = TextToImageParams(prompt="a fox", steps=2, width=SIZE, height=SIZE, adapters=list(adapters))
        return sampler.sample([Request("text-to-image", params, 1)], lambda *_: None)[0].pixels

    plain = drawn()
    assert not np.array_equal(plain, drawn({"name": published.name})) and np.array_equal(plain, drawn())


def test_what_a_run_takes_depends_on_its_pipeline() -> None:
    cards = {"sd": {"parameters": 1_066_000_000}, "large": {"parameters": 3_470_000_000}}
    family = families()["lora"]
    assert family.cost is not None
    unsaid, small, large = (
        family.training_cost(LoraTraining(pipeline=name), cards.__getitem__) for name in ("", "sd", "large")
    )
    assert unsaid == small == family.cost(LoraTraining())
    assert large.fixed_bytes > 2 * 3_470_000_000 and large.item_bytes > small.item_bytes
    assert 3 < small.items_per_second / large.items_per_second < 3.5
    with pytest.raises(KeyError):
        family.training_cost(LoraTraining(pipeline="gone"), cards.__getitem__)


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_pictures_are_learnt_in_their_own_proportions(
    name: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    items = []
    for i, (height, width) in enumerate([(64, 64), (48, 80), (64, 64), (48, 80), (80, 48), (48, 80)]):
        split = "held_out" if i > 3 else "train"
        item = Item(f"{i}", f"{i}", f"{i}", "", split, "a", "甲", ["a fox"], width=width, height=height)
        items.append((item, at_the_beginning(random.integers(0, 255, (height, width, 3), dtype=np.uint8), SIZE)))
    write_prepared(tmp_path / "data", items, {"name": "wide"})
    trained(name, folders, open_collection(tmp_path / "data"), tmp_path / "run")
    kept = np.load(tmp_path / "run" / "cache" / "latents.npy")
    beyond = kept.reshape(6, 2, -1)[:, :, kept.shape[2] * 6 * 10 :]
    assert beyond[0].any() and not beyond[1].any() and not beyond[4].any(), "encoded as wide as they are"


def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    folders: Callable[[str], Path], collection: Collection, tmp_path: Path
) -> None:
    whole = trained("sd", folders, collection, tmp_path / "whole", prior_prompt="a dog", prior_pictures=2)
    first = Run(tmp_path / "halves", steps=6, echo=False, checkpoint_seconds=0, published=folders("sd").parent)
    watch = first.watch

    def stop(done: int, loss: torch.Tensor) -> None:
        watch(done, loss)
        if done == 3:
            first.stop()

    first.watch = stop  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        train(training("sd", prior_prompt="a dog", prior_pictures=2), collection, first)
    halves = trained("sd", folders, collection, tmp_path / "halves", prior_prompt="a dog", prior_pictures=2)
    one, two = (load_file(model / "model.safetensors") for model in (whole, halves))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert any(tensor.any() for key, tensor in one.items() if "lora_B" in key), "something was learnt"


def test_the_loss_of_what_it_is_taught_falls(
    folders: Callable[[str], Path], collection: Collection, tmp_path: Path
) -> None:
    model = trained("sd", folders, collection, tmp_path / "run", steps=60)
    pipeline, card = open_pipeline(folders("sd"), torch.device("cpu"), torch.float32)
    losses = objective(pipeline, ARCHITECTURES[card["config"]["architecture"]], 5.0)
    latents = torch.from_numpy(np.load(tmp_path / "run" / "cache" / "latents.npy")[:4, 0].astype(np.float32))
    words = torch.from_numpy(np.load(tmp_path / "run" / "cache" / "words.npy").astype(np.float32))[:1].repeat(4, 1, 1)
    random = torch.Generator().manual_seed(9)
    noise, chance = torch.randn(latents.shape, generator=random), torch.tensor([0.1, 0.3, 0.6, 0.9])

    def loss() -> float:
        with torch.no_grad():
            return float(losses(latents, Texts(words, None), noise, chance).mean())

    before = loss()
    pipeline.load_lora_weights(str(model), weight_name="model.safetensors")
    assert loss() < 0.95 * before


def test_the_names_of_kohya_say_the_same(
    folders: Callable[[str], Path], collection: Collection, tmp_path: Path
) -> None:
    """What was trained here, renamed as the scripts of kohya have it, draws the very same."""
    model = trained("sd", folders, collection, tmp_path / "run")
    renamed = {}
    for name, tensor in load_file(model / "model.safetensors").items():
        layer, matrix = name.removesuffix(".weight").rsplit(".", 1)
        key = f"lora_{layer.replace('.', '_')}"
        renamed[f"{key}.{'lora_down' if matrix == 'lora_A' else 'lora_up'}.weight"] = tensor
        renamed[f"{key}.alpha"] = torch.tensor(4.0)
    places = [folders("sd").with_name(each) for each in ("as-trained", "as-kohya")]
    shutil.copytree(model, places[0])
    places[1].mkdir()
    save_file(renamed, places[1] / "x.safetensors")
    adopt(places[1])
    sampler = load(folders("sd"), torch.device("cpu"))
    params = TextToImageParams(prompt="a fox", steps=2, width=SIZE, height=SIZE)
    one, two = (
        sampler.sample(
            [Request("text-to-image", params.model_copy(update={"adapters": [asked(place.name)]}), 1)], lambda *_: None
        )[0].pixels
        for place in places
    )
    assert np.array_equal(one, two)


def asked(name: str) -> Any:
    return TextToImageParams(prompt="a", adapters=[{"name": name}]).adapters[0]


def test_what_cannot_be_trained_is_said(folders: Callable[[str], Path], collection: Collection, tmp_path: Path) -> None:
    def cards(name: str) -> dict[str, Any]:
        return {"family": "pipeline", "config": {"grid": 16}} if name == "sd3" else {"family": "gan", "config": {}}

    assert "Choose a pipeline" in str(problem(LoraTraining(), cards))
    assert "no pipeline" in str(problem(LoraTraining(pipeline="faces"), cards))
    assert problem(LoraTraining(pipeline="sd3"), cards) is None
    trained("sd", folders, collection, tmp_path / "run", steps=1)
    (tmp_path / "run" / "pipeline.sha256").write_text("0" * 64)
    with pytest.raises(CheckpointError, match="has been replaced"):
        trained("sd", folders, collection, tmp_path / "run", steps=2)
