"""A bank of styles: read of ONNX, drawn in one style or between two, refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

from models.adopt import adopt
from models.contract.card import CheckpointError, read_card
from models.contract.registry import families
from models.contract.sampling import Request, Unfit
from models.contract.tasks import IMAGE
from models.contract.values import Picture, Pixels
from models.onnx import read_onnx
from models.style_bank.network import ConditionalNorm, StyleBank
from models.style_bank.sample import StyleBankSampler, load
from models.style_bank.spec import STYLE_BANK, StyleBankConfig, StyleBankParams

CONFIG = StyleBankConfig(styles=3, width=8, blocks=2, decoder=(6, 4))


def network() -> StyleBank:
    torch.manual_seed(0)
    made = StyleBank(CONFIG).eval()
    for name, parameter in made.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return made


def picture(height: int = 30, width: int = 41) -> Pixels:
    made: Pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return made


def drawn(made: StyleBankSampler, given: Pixels | None = None, **params: Any) -> Pixels:
    image = Picture(picture() if given is None else given)
    request = Request("style-transfer", StyleBankParams(**params), 0, {IMAGE: [image]})
    (output,) = made.sample([request], lambda *_: None)
    assert isinstance(output.value, Picture)
    return output.value.pixels


def file_of(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """An ONNX file with these numbers, whatever its graph does with them."""
    held = [numpy_helper.from_array(tensor.detach().numpy(), name) for name, tensor in tensors.items()]
    onnx.save_model(helper.make_model(helper.make_graph([], "bank", [], [], held)), str(path))
    return path


def test_a_style_is_how_each_channel_is_scaled_and_shifted() -> None:
    norm, x = ConditionalNorm(3, 5), torch.randn(2, 5, 7, 7)
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    for i, weights in enumerate(torch.eye(3)):
        wanted = F.instance_norm(x, weight=norm.gamma[i], bias=norm.beta[i])
        assert torch.allclose(norm(x, weights.expand(2, 3)), wanted, atol=1e-5)


def test_a_picture_takes_one_style_or_lies_between_two() -> None:
    made = StyleBankSampler(network())
    one, other = drawn(made, style="1"), drawn(made, style="3")
    assert one.shape == picture().shape and np.abs(one.astype(int) - other).mean() > 2
    assert np.array_equal(drawn(made), one), "the first, where none is said"
    assert np.array_equal(drawn(made, style="1", second_style="3", mix=0.0), one)
    assert np.array_equal(drawn(made, style="1", second_style="3", mix=1.0), other)
    assert not np.array_equal(drawn(made, style="1", second_style="3"), one)
    assert np.array_equal(drawn(made, style="2", strength=0.0), picture())
    grey = drawn(made, np.full((32, 32, 3), 128, np.uint8), style="2", keep_colours=True).astype(int)
    assert np.abs(np.diff(grey, axis=-1)).max() <= 1


@pytest.mark.parametrize(("params", "size"), [({"style": "4"}, 32), ({"style": "x"}, 32), ({}, 8), ({}, 9000)])
def test_what_does_not_fit_is_refused(params: dict[str, Any], size: int) -> None:
    with pytest.raises(Unfit):
        drawn(StyleBankSampler(network()), np.zeros((size, 32, 3), np.uint8), **params)
    with pytest.raises(ValueError, match="ask for one"):
        StyleBankParams(count=2)


def test_a_file_of_onnx_becomes_a_checkpoint(tmp_path: Path) -> None:
    bank = network()
    folder = tmp_path / "bank"
    folder.mkdir()
    file_of(folder / "multistyle.onnx", dict(bank.named_parameters()))
    adopt(folder)
    card = read_card(folder)
    assert card["family"] == STYLE_BANK and StyleBankConfig(**card["config"]) == CONFIG
    (task,) = families()[STYLE_BANK].tasks
    assert task.choices(card)["style"] == ["1", "2", "3"] and (folder / "samples.png").exists()
    assert not (folder / "multistyle.onnx").exists()
    before, after = drawn(StyleBankSampler(bank), style="2"), drawn(load(folder, torch.device("cpu")), style="2")
    assert np.abs(before.astype(int) - after).max() <= 2, "weights are kept in half precision"


def test_other_files_of_onnx_are_refused(tmp_path: Path) -> None:
    for name, content in (("broken", b"no graph" * 99), ("none", b"")):
        (place := tmp_path / name).mkdir()
        (place / "a.onnx").write_bytes(content)
        with pytest.raises(CheckpointError):
            adopt(place)
    (place := tmp_path / "other").mkdir()
    file_of(place / "a.onnx", {"some.weight": torch.ones(3, 3)})
    with pytest.raises(CheckpointError, match="not known here"):
        adopt(place)
    odd = dict(network().named_parameters()) | {"expand.1.w": torch.ones(7, 6, 3, 3)}
    (place := tmp_path / "odd").mkdir()
    file_of(place / "a.onnx", odd)
    with pytest.raises(CheckpointError):
        adopt(place)
    outside = helper.make_tensor("a", onnx.TensorProto.FLOAT, [1], [1.0])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    onnx.save_model(helper.make_model(helper.make_graph([], "bank", [], [], [outside])), str(tmp_path / "a.onnx"))
    with pytest.raises(CheckpointError, match="other files"):
        read_onnx(tmp_path / "a.onnx")
