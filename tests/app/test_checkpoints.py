"""The catalogue of checkpoints."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from app.checkpoints import service
from app.errors import Conflict, NotFound
from app.settings import get_settings
from models.contract.card import CheckpointError, problem
from models.contract.publication import publish
from models.contract.registry import families


def test_what_another_builds_on_is_not_unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, dict[str, Any]] = {"tokens": {}, "writer": {"autoencoder": {"name": "tokens"}}, "plain": {}}
    monkeypatch.setattr(service, "cards", lambda: known)
    with pytest.raises(Conflict, match="writer builds on it"):
        service.delete("tokens")


def test_a_card_names_its_fields_rightly() -> None:
    card = {"format": 1, "family": "gan", "sha256": "0" * 64, "parameters": 1}
    assert problem(card) is None
    for wrong in (
        {"steps": "many"},
        {"styles": [{}]},
        {"autoencoder": "tokens"},
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
    with pytest.raises(CheckpointError, match="writer draws with the tokens"):
        publish(new, published, "tokens", replace=True)
    assert publish(new, published, "other").is_dir()
    again = json.loads((new / "card.json").read_text())
    (new / "card.json").write_text(json.dumps({**again, "same_latents_as": [old]}))
    assert publish(new, published, "tokens", replace=True).is_dir(), "a finer decoder of the same latents"


def test_an_autoencoder_is_loaded_before_it_is_taken(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another architecture"):
        service.prove(imported(tmp_path / "bent", {"family": "fsq-autoencoder", "config": {}}))
    with pytest.raises(CheckpointError, match="does not describe the weights"):
        service.prove(imported(tmp_path / "strange", {"family": "fsq-autoencoder", "config": {"size": "x"}}))


@pytest.mark.usefixtures("in_process")
def test_an_own_model_of_a_name_that_ships_later_can_be_unpublished() -> None:
    own = imported(get_settings().data / "checkpoints" / "open-peeps", {"family": "gan"})
    assert not service.ships("open-peeps")
    service.delete("open-peeps")
    assert not own.exists() and service.ships("open-peeps")
    with pytest.raises(Conflict, match="stays"):
        service.delete("open-peeps")


def test_what_draws_nothing_is_known_but_not_drawn_with() -> None:
    assert service.checkpoint_of("emoji-fsq").card["family"] == "fsq-autoencoder"
    with pytest.raises(NotFound, match="emoji-fsq draws nothing by itself"):
        service.get("emoji-fsq")
    with pytest.raises(NotFound, match="There is no model emoji-zzz"):
        service.get("emoji-zzz")
