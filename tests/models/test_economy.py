"""Large pipelines on small cards and in less time: what each setting changes, and what it must not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.adopt import adopt
from models.contract.economy import Economy
from models.contract.sampling import Cancelled, SavesMemory
from models.contract.values import Picture, Pixels
from models.parts.placed import bytes_of
from models.pretrained import economy
from models.pretrained.economy import compile_blocks, is_beside, keep_beside, place
from models.pretrained.sample import PipelineSampler, load
from tests.models.test_pretrained import lora, published, request
from tests.support import pipelines

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages among themselves
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def drawn(sampler: PipelineSampler, task: str = "text-to-image", **more: Any) -> Pixels:
    return sampler.sample([request(task, **more)], lambda *_: None)[0].pixels


def apart(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_matrices_of_8_bits_draw_nearly_the_same_in_less_room(name: str, folders: Callable[[str], Path]) -> None:
    usual, small = load(folders(name), CPU), load(folders(name), CPU, economy=Economy(weights="8-bit"))
    matrices = bytes_of(usual.denoiser), bytes_of(small.denoiser)
    assert small.memory_bytes < usual.memory_bytes and matrices[1] < 0.85 * matrices[0], matrices
    before = drawn(small)
    assert 0 < apart(drawn(usual), before) < 3, "of 255"
    assert small.sample([request("text-to-image")], lambda *_: None)[0].facts == {"weights": "8-bit"}
    assert usual.sample([request("text-to-image")], lambda *_: None)[0].facts == {}
    published(folders(name), f"{name}-of-8", lora(name, 3))
    led = drawn(small, adapters=[{"name": f"{name}-of-8", "weight": 1.0}])
    assert apart(led, before) > 0 and np.array_equal(drawn(small), before), "an adapter leaves nothing behind"


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_weights_beside_the_device_draw_the_same(name: str, folders: Callable[[str], Path]) -> None:
    here, beside = load(folders(name), CPU), load(folders(name), CPU)
    keep_beside(beside.pipelines["text-to-image"], CPU)
    assert is_beside(beside.pipelines["text-to-image"]) and not is_beside(here.pipelines["text-to-image"])
    published(folders(name), f"{name}-beside", lora(name, 4))
    asked = [{"name": f"{name}-beside", "weight": 1.0}]
    for task in ("text-to-image", "inpainting"):
        for adapters in ([], asked, []):
            assert np.array_equal(drawn(here, task, adapters=adapters), drawn(beside, task, adapters=adapters))


def with_adapters(folder: Path) -> None:
    """A ControlNet and an IP-adapter beside the pipeline."""
    for make, name in ((pipelines.control_net, "lines-beside"), (pipelines.ip_adapter, "eyes-beside")):
        if not (place := folder.with_name(name)).exists():
            make(folder, place)
            adopt(place)


def led(sampler: PipelineSampler) -> list[Pixels]:
    """What it draws by each of them, and by nothing."""
    found = []
    for more, role in (
        ({"controls": [{"name": "lines-beside"}]}, "control"),
        ({"references": [{"name": "eyes-beside"}]}, "reference"),
        ({}, "none"),
    ):
        asked = request("text-to-image", **more)
        if more:
            asked.inputs[role] = [Picture(np.full((50, 40, 3), 200, np.uint8))]
        found.append(sampler.sample([asked], lambda *_: None)[0].pixels)
    return found


def test_what_joins_a_pipeline_joins_one_beside_the_device(folders: Callable[[str], Path]) -> None:
    with_adapters(folders("sd"))
    here, beside = load(folders("sd"), CPU), load(folders("sd"), CPU)
    keep_beside(beside.pipelines["text-to-image"], CPU)
    for one, other in zip(led(here), led(beside), strict=True):
        assert np.array_equal(one, other)
    assert is_beside(beside.pipelines["text-to-image"]), "also what has joined and left"


def test_what_joins_a_pipeline_joins_one_of_8_bits(folders: Callable[[str], Path]) -> None:
    with_adapters(folders("sd"))
    followed, seen, plain = led(load(folders("sd"), CPU, economy=Economy(weights="8-bit")))
    assert not np.array_equal(followed, plain) and not np.array_equal(seen, plain)
    for ours, theirs in zip((followed, seen, plain), led(load(folders("sd"), CPU)), strict=True):
        assert apart(ours, theirs) < 4


def test_memory_that_runs_out_under_an_adapter_is_no_fault_of_the_adapter(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = load(folders("sd"), CPU)
    published(folders("sd"), "sd-heavy", lora("sd", 8))

    def full(*_: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sampler.pipelines["text-to-image"], "load_lora_weights", full)
    with pytest.raises(torch.OutOfMemoryError):
        drawn(sampler, adapters=[{"name": "sd-heavy", "weight": 1.0}])


class Placed:
    """A pipeline that says where it was put; a device that is too small for it raises."""

    def __init__(self, fits: bool) -> None:
        self.fits, self.at = fits, ""
        self.components = {"unet": torch.nn.Linear(1000, 1000)}

    def to(self, device: torch.device) -> None:
        if not self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.at = "on it"

    def enable_group_offload(self, *_: Any) -> None:
        self.at = "beside it"


@pytest.mark.parametrize(
    ("free", "fits", "offload", "where"),
    [
        (8_000_000, True, "auto", "on it"),
        (8_000_000, True, "always", "beside it"),
        (4_100_000, True, "auto", "beside it"),  # its weights alone would fit
        (4_100_000, True, "never", "on it"),
        (8_000_000, False, "auto", "beside it"),  # another process was quicker
    ],
)
def test_what_does_not_fit_on_a_gpu_is_kept_beside_it(
    free: int, fits: bool, offload: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    pipeline = Placed(fits)
    place(pipeline, GPU, offload)
    assert pipeline.at == where


def test_where_weights_may_not_be_kept_beside_a_gpu_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 1))
    with pytest.raises(torch.OutOfMemoryError):
        place(Placed(fits=False), GPU, "never")


def test_memory_is_saved_once_and_where_that_is_allowed(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[torch.device] = []
    sampler, never = load(folders("sd"), CPU), load(folders("sd"), CPU, economy=Economy(offload="never"))
    assert isinstance(sampler, SavesMemory) and not sampler.save_memory(), "beside a CPU there is nothing"
    with monkeypatch.context() as patched:
        patched.setattr("models.pretrained.sample.device_of", lambda pipeline: GPU)
        patched.setattr("models.pretrained.sample.keep_beside", lambda pipeline, device: kept.append(device))
        assert sampler.save_memory() and not sampler.save_memory() and not never.save_memory()
    assert kept == [GPU]
    (output,) = sampler.sample([request("text-to-image")], lambda *_: None)
    assert output.facts == {"decoded": "in tiles"}


def test_flux_leaves_out_blocks_and_nothing_of_it_stays(folders: Callable[[str], Path]) -> None:
    usual, quick = load(folders("flux"), CPU), load(folders("flux"), CPU, economy=Economy(first_block=0.5))
    passed = 0

    def count(*_: Any) -> None:
        nonlocal passed
        passed += 1

    quick.denoiser.single_transformer_blocks[0].proj_mlp.register_forward_hook(count)
    before = drawn(quick, steps=8)
    assert 0 < passed < 8 and 0 < apart(drawn(usual, steps=8), before) < 30
    (output,) = quick.sample([request("text-to-image", steps=8)], lambda *_: None)
    assert output.facts == {"first_block": 0.5}

    def stop(step: int, *_: Any) -> None:
        if step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        quick.sample([request("text-to-image", seed=9, steps=8)], stop)
    assert np.array_equal(drawn(quick, steps=8), before), "the next one begins anew"
    batch = [request("text-to-image", seed=seed, steps=8) for seed in (5, 1, 7)]
    among = quick.sample(batch, lambda *_: None)
    assert np.array_equal(among[1].pixels, before), "the same alone and among others"
    assert_follows_as_usual(folders("flux"), usual, quick)
    assert np.array_equal(drawn(quick, steps=8), before), "and leaves out blocks again"
    again = drawn(quick, "image-to-image", steps=8)
    assert np.array_equal(drawn(quick, "image-to-image", steps=8), again)


def assert_follows_as_usual(folder: Path, usual: PipelineSampler, quick: PipelineSampler) -> None:
    """A ControlNet adds to every block: none is left out."""
    if not (place := folder.with_name("flux-lines-quick")).exists():
        pipelines.control_net(folder, place)
        adopt(place)
    asked = request("text-to-image", steps=8, controls=[{"name": place.name}])
    asked.inputs["control"] = [Picture(np.full((50, 40, 3), 200, np.uint8))]
    (one,), (other,) = (sampler.sample([asked], lambda *_: None) for sampler in (usual, quick))
    assert np.array_equal(one.pixels, other.pixels) and other.facts == {}


def test_a_network_that_cannot_leave_out_blocks_draws_as_usual(folders: Callable[[str], Path]) -> None:
    quick = load(folders("sd"), CPU, economy=Economy(first_block=0.5))
    assert not quick.leaves_out and np.array_equal(drawn(quick), drawn(load(folders("sd"), CPU)))


@pytest.mark.parametrize("name", pipelines.BUILDERS)
def test_compiled_blocks_draw_the_same(name: str, folders: Callable[[str], Path]) -> None:
    usual, compiled, seen = load(folders(name), CPU), load(folders(name), CPU), list[int]()

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        seen.append(len(graph.graph.nodes))
        return graph.forward

    for seed in (6, 7):
        published(folders(name), f"{name}-compiled-{seed}", lora(name, seed))
    torch.compiler.reset()
    compile_blocks(compiled.denoiser, backend=backend)
    assert np.array_equal(drawn(usual), drawn(compiled)) and seen
    for adapter in (f"{name}-compiled-6", f"{name}-compiled-7", f"{name}-compiled-6"):
        asked = [{"name": adapter, "weight": 1.0}]
        assert apart(drawn(usual, adapters=asked), drawn(compiled, adapters=asked)) < 1
    torch.compiler.reset()


def test_what_an_operator_says_reaches_the_pipeline(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []
    monkeypatch.setattr("models.pretrained.load.quantize", lambda network: done.append(type(network).__name__))
    monkeypatch.setattr("models.pretrained.sample.compile_blocks", lambda denoiser: done.append("compiled"))
    load(folders("sd"), CPU, economy=Economy("8-bit", compiles=True))
    assert set(done) == {"CLIPTextModel", "UNet2DConditionModel", "compiled"}


def test_weights_are_counted_as_they_are_held() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(64, 32, bias=False))
    assert bytes_of(network) == 4 * 64 * 32
    economy.quantize(network)
    assert 64 * 32 < bytes_of(network) <= 64 * 32 + 32 * (4 + 4)
