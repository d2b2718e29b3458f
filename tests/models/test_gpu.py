"""On a CUDA device everything is trained, taken up again and drawn as it is on a CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.autoencoders.spec import FSQTraining
from models.contract.card import read_card
from models.contract.economy import Economy
from models.contract.registry import families
from models.contract.run_folder import RunFolder
from models.contract.sampling import Request, as_pictures
from models.data.pictures import Collection
from models.gan.spec import GANTraining
from models.pretrained.sample import PipelineSampler, load
from models.training.recovery import train_with_rollback
from models.training.run import Run, Stopped
from models.vae.mixing.spec import MixingTraining
from models.vae.spec import VAETraining
from tests.models.test_economy import led, with_adapters
from tests.models.test_pieces import train as launched
from tests.models.test_pretrained import lora, published, request
from tests.models.test_training import TRAINERS, collection, stop_after

__all__ = ["collection"]  # the fixture
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
GPU, CPU = torch.device("cuda"), torch.device("cpu")
WATCHED = {
    "fsq": "l1",
    "kl": "l1",
    "gan": "loss_discriminator",
    "projected gan": "loss_discriminator",
    "style transfer": "style_distance",
    "translation": "contrastive",
    "text-to-image gan": "mismatch_real",
}
DEFAULTS = {
    "gan": GANTraining(size=64, batch_size=16),
    "vae": VAETraining(size=64, batch_size=16),
    "fsq-autoencoder": FSQTraining(batch_size=16),
    "mixing-vae": MixingTraining(batch_size=16, adversarial_weight=1.0, late_from=0.0),
}


@pytest.fixture
def little_memory() -> Iterator[None]:
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**29 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def losses(folder: Path, family: str) -> list[float]:
    return [value for _, value in RunFolder(folder).curves()[WATCHED.get(family, "loss")]]


@pytest.mark.parametrize("family", TRAINERS)
def test_a_run_begins_as_on_a_cpu_and_goes_on_where_it_was_stopped(
    family: str, collection: Collection, tmp_path: Path
) -> None:
    train: Any
    train, params = TRAINERS[family]
    train(params, collection, Run(tmp_path / "cpu", steps=4, echo=False))
    train(params, collection, Run(tmp_path / "whole", steps=4, device=GPU, echo=False))
    first = Run(tmp_path / "halves", steps=4, device=GPU, echo=False, checkpoint_seconds=0)
    first.save = stop_after(first, 2)  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train(params, collection, first)
    train(params, collection, Run(tmp_path / "halves", steps=4, device=GPU, echo=False))
    on_cpu, whole, halves = (losses(tmp_path / name, family) for name in ("cpu", "whole", "halves"))
    assert whole[0] == pytest.approx(on_cpu[0], rel=0.05)  # bfloat16 has three digits
    assert len(whole) == len(halves) == 4 and halves == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("family", ["gan", "vae", "mixing"])
def test_a_model_draws_what_it_draws_on_a_cpu(family: str, collection: Collection, tmp_path: Path) -> None:
    train: Any
    train, params = TRAINERS[family]
    train(params, collection, Run(tmp_path / "run", steps=2, device=GPU, echo=False))
    model = tmp_path / "run" / "model"
    known = families()[read_card(model)["family"]]
    assert known.sampler
    for task in known.tasks:
        given = {
            each.role: as_pictures(
                [np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8) for i in range(each.least)]
            )
            for each in task.inputs
        }
        here, there = (
            importlib.import_module(known.sampler)
            .load(model, device)
            .sample([Request(task.name, task.params(), 1, given)], lambda *_: None)[0]
            .pixels.astype(int)
            for device in (CPU, GPU)
        )
        if (family, task.name) != ("gan", "image-variation"):  # which is searched for, step by step
            assert abs(here - there).mean() < 2


def test_memory_that_runs_out_makes_smaller_pieces(little_memory: None, collection: Collection, tmp_path: Path) -> None:
    many = Collection(
        collection.folder, np.tile(collection.images, (64, 1, 1, 1)), collection.items * 64, collection.card
    )
    run = Run(tmp_path, steps=2, device=GPU, echo=False)
    train_with_rollback(TRAINERS["gan"][0], GANTraining(size=64, batch_size=512), many, run)  # type: ignore[arg-type]
    assert run.pieces > 1 and (tmp_path / "model" / "card.json").exists()


@pytest.mark.parametrize("family", DEFAULTS)
def test_a_run_takes_no_more_memory_than_was_said_before(family: str, collection: Collection, tmp_path: Path) -> None:
    known, params = families()[family], DEFAULTS[family]
    assert known.trainer and known.cost
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    importlib.import_module(known.trainer).train(params, collection, Run(tmp_path, steps=2, device=GPU, echo=False))
    cost = known.cost(params)
    said, taken = cost.fixed_bytes + cost.item_bytes * params.batch_size, torch.cuda.max_memory_allocated()
    print(f"{family}: {taken / 2**20:.0f} MiB of {said / 2**20:.0f}")
    assert taken < said


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two CUDA devices")
def test_processes_meet_over_nccl(collection: Collection, tmp_path: Path) -> None:
    assert len(launched(tmp_path / "run", "vae", collection.folder, processes=torch.cuda.device_count())) == 6


# --- pretrained pipelines -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the packages among themselves
@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux"])
def test_a_pipeline_draws_the_same_on_a_gpu_and_beside_it(name: str, folders: Callable[[str], Path]) -> None:
    def drawn(sampler: PipelineSampler, **more: Any) -> Any:
        return sampler.sample([request("text-to-image", **more)], lambda *_: None)[0].pixels.astype(float)

    for seed in (5, 6):
        published(folders(name), f"{name}-on-gpu-{seed}", lora(name, seed))
    one, other = ({"adapters": [{"name": f"{name}-on-gpu-{seed}", "weight": 1.0}]} for seed in (5, 6))
    on_cpu, on_gpu = load(folders(name), CPU), load(folders(name), GPU)
    beside = load(folders(name), GPU, economy=Economy(offload="always"))
    small = load(folders(name), GPU, economy=Economy(weights="8-bit", compiles=True))
    smallest = load(folders(name), GPU, economy=Economy(weights="8-bit", offload="always"))
    assert beside.is_beside and not on_gpu.is_beside and next(beside.denoiser.parameters()).device == CPU
    before = drawn(on_gpu)
    assert np.abs(drawn(on_cpu) - before).mean() < 6 and np.abs(drawn(small) - before).mean() < 6
    assert np.abs(drawn(smallest) - before).mean() < 6 and np.abs(drawn(smallest, **one) - before).mean() > 0
    for more in ({}, one, other, one, {}):
        assert np.abs(drawn(beside, **more) - drawn(on_gpu, **more)).mean() < 1
    assert np.abs(drawn(on_gpu, **one) - before).mean() > 0 and (drawn(on_gpu) == before).all()
    assert on_gpu.save_memory() and not on_gpu.save_memory()
    assert np.abs(drawn(on_gpu) - before).mean() < 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("economy", [Economy(offload="always"), Economy(weights="8-bit"), Economy("8-bit", "always")])
def test_what_joins_a_pipeline_on_a_gpu_joins_it_in_every_economy(
    economy: Economy, folders: Callable[[str], Path]
) -> None:
    with_adapters(folders("sd"))
    usual, frugal = load(folders("sd"), GPU), load(folders("sd"), GPU, economy=economy)
    for ours, theirs in zip(led(frugal), led(usual), strict=True):
        assert np.abs(ours.astype(float) - theirs).mean() < 6


@pytest.mark.filterwarnings("ignore")
def test_flux_leaves_out_blocks_on_a_gpu(folders: Callable[[str], Path]) -> None:
    quick = load(folders("flux"), GPU, economy=Economy(first_block=0.5))
    one, other = (quick.sample([request("text-to-image", steps=8)], lambda *_: None)[0].pixels for _ in range(2))
    assert np.array_equal(one, other)
