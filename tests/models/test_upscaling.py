"""The upscaler: tiles without seams, pixel art by whole pixels, small pictures as the world makes them."""

import re
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from app.datasets.prepared import Item, write_prepared
from models.adopt import adopt
from models.contract.card import CheckpointError
from models.contract.registry import families
from models.contract.sampling import Request, Unfit
from models.contract.upscaling import LARGEST, UpscalingParams
from models.contract.values import Picture
from models.data.pictures import open_collection
from models.measure.effort import Effort
from models.training.run import Run
from models.upscaling import evaluate, sample
from models.upscaling.degrade import made_small, rebuilt
from models.upscaling.network import Upscaler, bicubic, bicubic_kernel, shrunk, upscaler
from models.upscaling.sample import UpscalingSampler, load
from models.upscaling.spec import UpscalingConfig, UpscalingTraining
from models.upscaling.train import pairs, train

SMALL = UpscalingConfig(width=8, blocks=2)
RRDB_NAMES = ("body.0.rdb1.conv1.weight", "conv_last.weight")


@cache
def network() -> Upscaler:
    """A small one with weights that are not zero, so that every path has an effect."""
    torch.manual_seed(0)
    made = upscaler(SMALL).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return made.requires_grad_(False)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)


def enlarged(given: np.ndarray, **params: int | bool) -> np.ndarray:
    request = Request("image-upscaling", UpscalingParams.model_validate(params), 0, {"image": [Picture(given)]})
    return UpscalingSampler(network()).sample([request], lambda *_: None)[0].pixels


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9), (16, 16)])
def test_the_filter_is_that_of_torch(size: tuple[int, int]) -> None:
    bicubic_kernel.cache_clear()
    with torch.inference_mode():
        bicubic(torch.zeros(1, 3, 2, 2))
    x = (torch.rand(2, 3, *size) * 2 - 1).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        large = bicubic(x)
    torch.testing.assert_close(large, F.interpolate(x, scale_factor=4, mode="bicubic"), rtol=0, atol=2e-6)
    large.sum().backward()
    assert x.grad is not None


def test_a_new_network_enlarges_as_the_filter_does() -> None:
    x = torch.rand(1, 3, 8, 12) * 2 - 1
    assert torch.equal(upscaler(UpscalingConfig())(x), bicubic(x)) and bicubic(x).shape == (1, 3, 32, 48)
    parameters = sum(weight.numel() for weight in upscaler(UpscalingConfig()).parameters())
    assert 550_000 < parameters < 650_000


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize(("height", "width"), [(5, 3), (16, 16), (33, 70), (1, 1)])
def test_tiles_have_no_seams(factor: int, height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = picture(height, width)
    whole = enlarged(given, factor=factor)
    assert whole.shape == (factor * height, factor * width, 3)
    monkeypatch.setattr(sample, "TILE", 16)
    assert np.abs(enlarged(given, factor=factor).astype(int) - whole).max() <= 1


def test_pixel_art_is_enlarged_by_whole_pixels() -> None:
    given = picture(3, 2)
    made = enlarged(given, factor=4, pixel_art=True)
    assert all(np.array_equal(made[i::4, j::4], given) for i in range(4) for j in range(4))


def test_what_cannot_be_enlarged_is_said() -> None:
    with pytest.raises(Unfit, match=f"4 x {4 * LARGEST // 4 + 4}"):
        enlarged(picture(LARGEST // 4 + 1, 1), factor=4)
    with pytest.raises(ValidationError, match="ask for one"):
        UpscalingParams(count=2)
    with pytest.raises(ValidationError):
        UpscalingParams.model_validate({"factor": 3})
    task = families()["image-upscaler"].tasks[0]
    assert task.cost(UpscalingParams(), {"image": [{"width": 300, "height": 20}]}) == 12


def test_progress_is_told_after_every_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "TILE", 16)
    request = Request("image-upscaling", UpscalingParams(), 0, {"image": [Picture(picture(20, 40))]})
    told: list[tuple[int, int, tuple[int, ...]]] = []
    UpscalingSampler(network()).sample([request], lambda k, n, see: told.append((k, n, see()[0].pixels.shape)))
    assert told == [(k, 6, (80, 160, 3)) for k in range(1, 7)]


def test_pictures_are_made_small_by_their_seed_and_some_suffer() -> None:
    large = bicubic(torch.rand(24, 3, 8, 8) * 2 - 1).clamp(-1, 1)
    first, again = (made_small(large, 0.5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (24, 3, 8, 8) and first.abs().max() <= 1

    def lost(damage: float) -> float:
        small = made_small(large, damage, torch.Generator().manual_seed(3))
        return float((small - shrunk(large, 4)).abs().mean())

    assert lost(1.0) > 1.5 * lost(0.0) > 0


def test_what_an_autoencoder_knows_passes_through_it() -> None:
    """The first picture it has a little darker, the second it makes grey."""

    class Autoencoder(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x.mean((1, 2, 3), keepdim=True) > 0, x - 0.1, 0)

    small = torch.stack([torch.full((3, 8, 8), shade) for shade in (0.9, -0.9)])
    assert torch.allclose(rebuilt(small, Autoencoder(1, 1, 1)), torch.stack([small[0] - 0.1, small[1]]))


def test_crops_to_enlarge_are_of_the_same_places() -> None:
    large = bicubic(torch.rand(12, 3, 16, 16) * 2 - 1).clamp(-1, 1)
    params = UpscalingTraining(network=SMALL, size=64, crop=8 * 2, damage=0)
    random = torch.Generator().manual_seed(0)
    given, wanted = pairs(large, params, None, random)
    assert given.shape == (12, 3, 16, 16) and wanted.shape == (12, 3, 64, 64)
    assert (shrunk(wanted, 4) - given).abs().mean() < 0.05
    given, wanted = pairs(bicubic(large).clamp(-1, 1), params, None, random)  # of 256 px: from anywhere
    assert (shrunk(wanted, 4) - given).abs().mean() < 0.01 and not torch.equal(given[0], given[1])


def test_an_autoencoder_needs_whole_cells() -> None:
    with pytest.raises(ValidationError, match="multiple of 32"):
        UpscalingTraining(size=144, crop=16, autoencoder="drawings-fsq")


def test_it_learns_and_is_measured_beside_the_filter(tmp_path: Path) -> None:
    """Pictures of one sharp edge: after a few steps it is nearer to them than the filter is."""
    random = np.random.default_rng(0)
    items = []
    for i in range(40):
        pixels = np.full((64, 64, 3), 255, np.uint8)
        pixels[:, random.integers(8, 56) :] = random.integers(0, 120, 3)
        items.append((Item(str(i), str(i), str(i), "", "train" if i < 20 else "concept", "a", "甲", [""]), pixels))
    write_prepared(tmp_path / "edges", items, {"name": "edges"})
    network = UpscalingConfig(width=16, blocks=2)
    params = UpscalingTraining(network=network, size=64, crop=16, batch_size=4, damage=0, ema_decay=0.98)
    run = Run(tmp_path / "run", steps=300, echo=False)
    data = open_collection(tmp_path / "edges")
    train(params, data, run)
    assert load(run.folder.model, torch.device("cpu")).network.config == network
    figures, shown = evaluate.evaluate(run.folder.model, data, tmp_path, Effort(20))
    assert figures["clean_psnr_db"] > figures["clean_psnr_bicubic_db"] + 0.5
    assert figures["clean_feature_distance"] < figures["clean_feature_distance_bicubic"]
    assert shown.shape == (4 * 64, 6 * 64, 3)


def of_real_esrgan(architecture: str) -> Upscaler:
    torch.manual_seed(0)
    config = {"architecture": architecture, "width": 8, "blocks": 2, "growth": 4}
    return upscaler(UpscalingConfig.model_validate(config)).eval().requires_grad_(False)


def first_names(name: str) -> str:
    """What ESRGAN called the layers at first."""
    for now, before in (
        (r"^body\.(\d)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0."),
        (r"^conv_body\.", "model.1.sub.2."),
        *((rf"^{layer}\.", f"model.{i}.") for layer, i in FIRST.items()),
    ):
        name = re.sub(now, before, name)
    return name


FIRST = {"conv_first": 0, "conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10}


@pytest.mark.parametrize(
    ("architecture", "renamed"),
    [("compact", str), ("compact", "params.{}".format), ("rrdb", "params_ema.{}".format), ("rrdb", first_names)],
)
def test_weights_of_real_esrgan_are_known_by_their_names(
    architecture: str, renamed: Callable[[str], str], tmp_path: Path
) -> None:
    made = of_real_esrgan(architecture)
    tensors = {renamed(name): tensor for name, tensor in made.state_dict().items()}
    save_file(tensors, tmp_path / "foreign.safetensors")
    adopt(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "model.safetensors", "samples.png"]
    found = load(tmp_path, torch.device("cpu")).network
    x = torch.rand(1, 3, 6, 7) * 2 - 1
    assert found.config.model_dump(exclude={"growth"}) == made.config.model_dump(exclude={"growth"})
    assert torch.allclose(found(x), made(x), atol=1e-2)


@pytest.mark.parametrize("architecture", ["compact", "rrdb"])
@pytest.mark.parametrize("halves", [True, False])
def test_networks_of_ncnn_are_read(architecture: str, halves: bool, tmp_path: Path) -> None:
    made = of_real_esrgan(architecture)
    lines, numbers = ["7767517", "0 0", "Input in 0 1 data"], b""
    for name, layer in made.named_modules():
        if isinstance(layer, nn.Conv2d):
            weight, bias = layer.weight.numpy(), layer.bias.numpy()  # type: ignore[union-attr]
            options = f"0={len(weight)} 1=3 4=1 5=1 6={weight.size}"
            lines.append(f"Convolution {name} 1 1 a b {options} 9=2 -23310=1,2.000000e-01")
            kept = weight.astype("<f2").tobytes() if halves else weight.astype("<f4").tobytes()
            numbers += struct.pack("<I", 0x01306B47 if halves else 0) + kept + b"\0" * (-len(kept) % 4)
            numbers += bias.astype("<f4").tobytes()
        if isinstance(layer, nn.PReLU):
            lines.append(f"PReLU {name} 1 1 a b 0={layer.weight.numel()}")
            numbers += layer.weight.numpy().astype("<f4").tobytes()
    lines.append("BinaryOp last 2 1 a b output")
    (tmp_path / "net.param").write_text("\n".join(lines) + "\n")
    (tmp_path / "net.bin").write_bytes(numbers)
    adopt(tmp_path)
    x = torch.rand(1, 3, 6, 7) * 2 - 1
    assert torch.allclose(load(tmp_path, torch.device("cpu")).network(x), made(x), atol=1e-2)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a.safetensors": {"body.0.weight": (4, 3, 3, 3)}}, "not known here"),
        ({"a.safetensors": {"conv_first.weight": (8, 12, 3, 3)} | dict.fromkeys(RRDB_NAMES, (4, 8, 3, 3))}, "another"),
        ({"a.safetensors": {f"body.{i}.weight": (12, 12, 3, 3) for i in range(3)}}, "another factor"),
        ({"a.safetensors": {f"body.{i}.weight": (48 if i == 4 else 4, 4, 3, 3) for i in range(5)}}, "not known here"),
        ({"a.safetensors": b"no weights"}, "cannot be read|header|safetensors"),
        ({"a.pth": b"\x80\x02}q\x00."}, "give card.json"),
        ({"a.param": b"7767517\n0 0\nLSTM x 1 1 a b 0=1\n", "a.bin": b""}, "a layer LSTM"),
        ({"a.param": b"7767517\n0 0\nPReLU x 1 1 a b 0=9\n", "a.bin": b"\0"}, "ends too soon"),
        ({"a.param": b"7767517\n0 0\nPReLU x 1 1 a b 0=1\n", "a.bin": b"\0" * 8}, "more than its graph"),
        ({"a.param": b"1\n", "a.bin": b""}, "no graph"),
        ({"a.param": b"\xff", "a.bin": b""}, "cannot be read"),
    ],
)
def test_other_weights_are_refused_with_the_reason(files: dict[str, Any], why: str, tmp_path: Path) -> None:
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            save_file({key: torch.zeros(shape) for key, shape in content.items()}, tmp_path / name)
    with pytest.raises(CheckpointError, match=why):
        adopt(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(files), "what was given stays"


@pytest.mark.parametrize("architecture", ["compact", "rrdb"])
def test_those_of_real_esrgan_have_no_seams_either(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, given = UpscalingSampler(of_real_esrgan(architecture)), picture(40, 70)
    request = Request("image-upscaling", UpscalingParams(), 0, {"image": [Picture(given)]})
    whole = sampler.sample([request], lambda *_: None)[0].pixels.astype(int)
    monkeypatch.setattr(sample, "TILE", 16)
    assert np.abs(sampler.sample([request], lambda *_: None)[0].pixels - whole).max() <= 1
