"""The catalogue of checkpoints."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from app.checkpoints import importing, service
from app.errors import Conflict, NotFound
from app.settings import get_settings
from models.checkpoint import write_model
from models.contract.card import AUTOENCODER, WEIGHTS, ZOO, CheckpointError, beneath, problem, read_card
from models.contract.publication import publish
from models.contract.registry import families
from models.style_transfer.network import StyleTransferNetwork
from models.style_transfer.spec import StyleTransferConfig
from tests.support import composer
from tests.support.artist import client


def test_what_another_builds_on_is_not_unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, dict[str, Any]] = {
        "tokens": {},
        "writer": {"builds_on": [{"role": "autoencoder", "name": "tokens"}]},
        "plain": {},
    }
    monkeypatch.setattr(service, "cards", lambda: known)
    with pytest.raises(Conflict, match="writer builds on it"):
        service.delete("tokens")


def test_a_card_names_its_fields_rightly() -> None:
    card = {"format": 1, "family": "gan", "sha256": "0" * 64, "parameters": 1}
    assert problem(card) is None
    for wrong in (
        {"steps": "many"},
        {"styles": [{}]},
        {"builds_on": "tokens"},
        {"seconds": float("nan")},
        {"started_from": {"sha256": "0" * 64, "seconds": "x"}},
    ):
        assert problem({**card, **wrong}), wrong
    origin = {"sha256": "0" * 64, "seconds": 20, "started_from": {"sha256": "1" * 64, "seconds": 22.5}}
    made = {**card, "seconds": 10.0, "started_from": origin}
    assert problem(made) is None
    assert service.Checkpoint("x", Path(), families()["gan"], made).seconds_in_all == 52.5


def imported(folder: Path, card: dict[str, Any]) -> Path:
    """A checkpoint of one small tensor."""
    folder.mkdir(parents=True)
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "model.safetensors").write_bytes(weights)
    own = {"format": 1, "sha256": hashlib.sha256(weights).hexdigest(), "parameters": 1, **card}
    (folder / "card.json").write_text(json.dumps(own))
    return folder


def test_what_another_draws_with_is_not_replaced_by_what_it_cannot_draw_with(tmp_path: Path) -> None:
    published = tmp_path / "published"
    old, new = "a" * 64, imported(tmp_path / "new", {"family": "fsq-autoencoder"})
    imported(published / "tokens", {"family": "fsq-autoencoder"})
    writer = imported(published / "writer", {"family": "text-to-image-transformer"})
    card = json.loads((writer / "card.json").read_text())
    (writer / "card.json").write_text(json.dumps({**card, "autoencoder": {"name": "tokens", "sha256": old}}))
    with pytest.raises(CheckpointError, match="writer draws with the existing tokens"):
        publish(new, published, "tokens", replace=True)
    assert publish(new, published, "other").is_dir()
    again = json.loads((new / "card.json").read_text())
    (new / "card.json").write_text(json.dumps({**again, "same_latents_as": [old]}))
    assert publish(new, published, "tokens", replace=True).is_dir(), "a finer decoder of the same latents"


def test_an_autoencoder_is_loaded_before_it_is_taken(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another architecture"):
        importing.prove(imported(tmp_path / "bent", {"family": "fsq-autoencoder", "config": {}}))
    with pytest.raises(CheckpointError, match="does not describe the weights"):
        importing.prove(imported(tmp_path / "strange", {"family": "fsq-autoencoder", "config": {"size": "x"}}))


@pytest.mark.usefixtures("in_process")
def test_an_own_model_of_a_name_that_ships_later_can_be_unpublished() -> None:
    own = imported(get_settings().data / "checkpoints" / "open-peeps", {"family": "gan"})
    assert not service.ships("open-peeps")
    service.delete("open-peeps")
    assert not own.exists() and service.ships("open-peeps")
    with pytest.raises(Conflict, match="cannot be deleted"):
        service.delete("open-peeps")


def test_what_draws_nothing_is_known_but_not_drawn_with() -> None:
    assert service.checkpoint_of("drawings-fsq").card["family"] == "fsq-autoencoder"
    with pytest.raises(NotFound, match="drawings-fsq draws nothing by itself"):
        service.get("drawings-fsq")
    with pytest.raises(NotFound, match="There is no model emoji-zzz"):
        service.get("emoji-zzz")


def test_a_card_of_the_first_format_says_what_one_of_now_says(tmp_path: Path) -> None:
    now = read_card(ZOO / "drawings-transformer")
    words = {name: sha256 for name, sha256 in now["files"].items() if name != WEIGHTS}
    autoencoder = {"name": "drawings-fsq", "sha256": "0" * 64}
    then = {**now, "format": 1, "sha256": now["files"][WEIGHTS], "files": words, AUTOENCODER: autoencoder}
    del then["builds_on"]
    (tmp_path / "card.json").write_text(json.dumps(then), "utf-8")
    card = read_card(tmp_path)
    assert card["format"] == 1 and card["files"] == now["files"]
    assert card["files"][WEIGHTS] == card["sha256"], "works of before name the weights; they stay the same model"
    assert beneath(card, AUTOENCODER) == {"role": AUTOENCODER, **autoencoder}


def test_a_checkpoint_is_known_by_all_of_its_files(tmp_path: Path) -> None:
    made = [
        write_model(tmp_path / name, torch.nn.Linear(1, 1), {"family": "gan"}, {"words.json": text})
        for name, text in (("one", "a"), ("two", "b"))
    ]
    assert made[0]["format"] == 2 and made[0]["sha256"] != made[1]["sha256"]
    assert read_card(tmp_path / "one")["sha256"] == made[0]["sha256"]
    changed = {**made[0], "files": made[1]["files"]}
    assert "not that of its files" in (problem(changed) or "")


def test_weights_at_the_root_of_a_pipelines_folder_have_any_name_where_no_part_has_its_own() -> None:
    parts = ["sd/model_index.json", "sd/unet/config.json"]
    made = importing.names_of([*parts, "sd/My model (v1).safetensors"])
    assert made["sd/My model (v1).safetensors"] == "model.safetensors"
    usual = [*parts, "sd/unet/a.safetensors", "sd/v1-5-pruned.safetensors", "sd/v1-5-emaonly.safetensors"]
    made = importing.names_of([*usual, "sd/.gitattributes"])
    assert len(set(made.values())) == len(made) == 5 and made["sd/v1-5-pruned.safetensors"] == "v1-5-pruned.safetensors"
    eyes = ["ip/image_encoder/config.json", "ip/image_encoder/a.safetensors", "ip/ip adapter.safetensors"]
    assert list(importing.names_of(eyes).values()) == [
        "image_encoder/config.json",
        "image_encoder/a.safetensors",
        "model.safetensors",
    ]


def test_broken_samples_of_one_model_leave_the_others_to_be_listed(in_process: None) -> None:
    folder = get_settings().data / "checkpoints"
    composer.publish(folder)
    broken = folder / composer.NAME / "samples.json"
    browser = client("visitor")
    assert all(each["examples"] for each in browser.get(f"/api/v1/models/{composer.NAME}").json()["tasks"][1]["inputs"])
    broken.write_text("[]x")
    assert composer.NAME in [each["name"] for each in browser.get("/api/v1/models").json()["items"]]
    assert browser.get(f"/create?model={composer.NAME}&task=music-harmonization").status_code == 200


def test_what_a_model_brings_along_is_offered_and_fetched(in_process: None) -> None:
    network = StyleTransferNetwork(StyleTransferConfig(widths=(8, 8, 8), blocks=1, style_width=16, style=8))
    picture = (ZOO / "open-peeps" / "samples.png").read_bytes()
    examples = [{"role": "style", "file": "style-1.png", "title": "Waves"}, {"role": "style", "file": "style-2.png"}]
    card = {"family": "style-transfer", "config": network.config.model_dump(), "examples": examples}
    folder = get_settings().data / "checkpoints" / "painter"
    write_model(folder, network, card, {"style-1.png": picture})
    browser = client("visitor")
    inputs = browser.get("/api/v1/models/painter").json()["tasks"][0]["inputs"]
    offered = {each["role"]: each["examples"] for each in inputs}
    assert offered["image"] == offered["mask"] == []
    assert offered["style"][0] == {"path": "/models/painter/examples/1", "title": "Waves", "file": "style-1.png"}
    answer = browser.get("/api/v1/models/painter/examples/1")
    assert answer.content == picture and answer.headers["Content-Type"] == "image/png"
    assert browser.get("/api/v1/models/painter/examples/2").status_code == 404, "its file is missing"
    assert browser.get("/api/v1/models/painter/examples/3").status_code == 404
    assert browser.get("/api/v1/models/painter/examples/0").status_code == 422
    page = browser.get("/create?model=painter").text
    assert "/models/painter/examples/1" in page and page.count('value="examples"') == 1
    for wrong in ("../card.json", "notes.html", "a/b.png"):
        assert problem({**read_card(folder), "examples": [{"role": "style", "file": wrong}]})


def test_styles_are_shown_beside_their_names(in_process: None) -> None:
    browser = client("visitor")
    page = browser.get("/create?model=drawings-transformer").text
    styles = service.get("drawings-transformer").card["styles"]
    assert page.count("/models/drawings-transformer/styles/") == len(styles)
    seen = [browser.get(f"/api/v1/models/drawings-transformer/styles/{i + 1}") for i in range(len(styles) + 1)]
    pictures = [Image.open(io.BytesIO(answer.content)) for answer in seen[:-1]]
    assert {picture.size for picture in pictures} == {(64, 64)} and seen[-1].status_code == 404
    assert len({answer.content for answer in seen[:-1]}) == len(styles), "each looks different"
    assert browser.get("/api/v1/models/open-peeps/styles/1").status_code == 404
