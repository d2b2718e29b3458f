"""A run that starts from a checkpoint: its weights, its shape, and what its collection may change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from models.autoencoders.load import load_autoencoder
from models.autoencoders.spec import FSQTraining
from models.checkpoint import CheckpointError, read_card, read_weights, write_model
from models.contract.fine_tuning import OtherShape, validated
from models.data.pictures import Collection, Unsuitable, open_collection
from models.gan.spec import GANTraining
from models.gan.train import labels_for
from models.training.run import Run, Stopped
from models.training.start import cards, load_start_weights
from models.vae.spec import VAETraining
from tests.models.test_training import TRAINERS, collection, stop_after

__all__ = ["collection"]  # the fixture


def trained(family: str, data: Collection, folder: Path, seed: int = 0, **changes: Any) -> Path:
    train: Any
    train, params = TRAINERS[family]
    run = Run(folder / "run", steps=2, seed=seed, published=folder.parent / "published", echo=False)
    train(validated(type(params), {**params.model_dump(), **changes}, cards(run)), data, run)
    return run.folder.model


def published(model: Path, beside: Path) -> str:
    shutil.copytree(model, beside / "published" / "before")
    return "before"


def with_styles(data: Collection, folder: Path, of: str) -> Collection:
    """The same pictures with other styles: one letter each, in turn; none for none."""
    shutil.copytree(data.folder, folder)
    items = [{**item, "style": of[i % len(of)] if of else ""} for i, item in enumerate(data.items)]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return open_collection(folder)


@pytest.mark.parametrize("family", TRAINERS)
def test_a_run_begins_with_the_weights_that_it_starts_from(family: str, collection: Collection, tmp_path: Path) -> None:
    before = trained(family, collection, tmp_path / "a")
    name = published(before, tmp_path)
    after = trained(family, collection, tmp_path / "b", seed=1, start_from=name)
    card, earlier = read_card(after), read_card(before)
    assert card["started_from"]["sha256"] == earlier["sha256"] and card["training"]["start_from"] == name
    old, new = (read_weights(folder / "model.safetensors") for folder in (before, after))
    learnt = [key for key in old if not key.startswith(("prior.", "directions", "style_"))]  # fitted at the end
    other = read_weights(trained(family, collection, tmp_path / "c", seed=1) / "model.safetensors")
    assert max(float((old[key] - new[key]).abs().max()) for key in learnt) < 0.05
    assert max(float((old[key] - other[key]).abs().max()) for key in learnt) > 0.05, "which is not how all begin"
    assert old.keys() == new.keys() == other.keys()


def test_a_generator_waits_for_its_new_discriminator(collection: Collection, tmp_path: Path) -> None:
    before = trained("gan", collection, tmp_path / "a")
    name = published(before, tmp_path)
    train: Any
    train, params = TRAINERS["gan"]
    run = Run(tmp_path / "b", steps=30, published=tmp_path / "published", echo=False, checkpoint_seconds=0)
    params = validated(type(params), {**params.model_dump(), "start_from": name}, cards(run))
    old = read_weights(before / "model.safetensors")
    for stop, waits in ((3, True), (5, False)):
        run = Run(run.path, steps=30, published=run.published, echo=False, checkpoint_seconds=0)
        run.save = stop_after(run, stop)  # type: ignore[method-assign, assignment]
        with pytest.raises(Stopped):
            train(params, collection, run)
        _, found = Run(run.path, steps=30).restore()
        same = [torch.equal(found[f"generator/{key}"], old[key]) for key in old if not key.startswith("encoder.")]
        assert all(same) if waits else not any(same)


def test_rows_of_styles_are_found_by_their_names(tmp_path: Path) -> None:
    class Styles(torch.nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.priors = torch.nn.Parameter(torch.randn(count, 2))

    before, after = Styles(2), Styles(3)
    card = {"family": "mixing-vae", "labels": ["flat", "noto"]}
    write_model(tmp_path / "m", before, card)
    own = after.priors.detach().clone()
    load_start_weights(after, tmp_path / "m", ["3d", "flat", "noto"], by_label=["priors"])
    expected = torch.stack([own[0], *before.priors.detach().half().float()])
    assert torch.equal(after.priors.detach(), expected)


def test_a_vae_learns_other_styles_than_those_of_its_checkpoint(collection: Collection, tmp_path: Path) -> None:
    name = published(trained("vae", collection, tmp_path / "a"), tmp_path)
    for styles in ("xyz", ""):
        other = with_styles(collection, tmp_path / f"data{styles}", styles)
        after = trained("vae", other, tmp_path / f"b{styles}", start_from=name)
        assert read_card(after)["labels"] == list(styles)


def test_a_mixing_vae_learns_other_styles(collection: Collection, tmp_path: Path) -> None:
    name = published(trained("mixing", collection, tmp_path / "a"), tmp_path)
    after = trained("mixing", with_styles(collection, tmp_path / "data", "xyz"), tmp_path / "b", start_from=name)
    assert read_card(after)["labels"] == ["x", "y", "z"]


def test_a_generator_learns_other_styles_but_not_whether_there_are_some() -> None:
    assert labels_for(0, ["a", "b"]) == [] and labels_for(2, ["a", "b", "c"]) == ["a", "b", "c"]
    with pytest.raises(Unsuitable, match="draws in styles"):
        labels_for(2, [])


def test_parameters_take_the_shape_of_the_checkpoint() -> None:
    card: dict[str, Any] = {
        "config": {**GANTraining(size=64, network={"width": 32}).network.model_dump(), "classes": 3}
    }  # type: ignore[arg-type]
    params = validated(GANTraining, {"start_from": "x", "batch_size": 8}, lambda name: card)
    assert (params.size, params.network.width, params.network.classes) == (64, 32, 3) and params.start_from == "x"
    assert validated(GANTraining, params.model_dump(), lambda name: card) == params
    assert validated(VAETraining, {"size": 32}, lambda name: {}).start_from is None
    with pytest.raises(OtherShape, match="x has a different size") as told:
        validated(GANTraining, {"start_from": "x", "size": 32}, lambda name: card)
    assert "size" in told.value.names
    with pytest.raises(OtherShape, match="x has a different blocks"):
        validated(GANTraining, {"start_from": "x", "network": {"blocks": 5}}, lambda name: card)


def test_a_checkpoint_that_is_missing_or_broken_is_refused(collection: Collection, tmp_path: Path) -> None:
    name = published(trained("vae", collection, tmp_path / "a"), tmp_path)
    with pytest.raises(CheckpointError, match="missing"):
        trained("vae", collection, tmp_path / "b", start_from="no-such")
    weights = tmp_path / "published" / name / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="has changed"):
        trained("vae", collection, tmp_path / "c", start_from=name)


def test_a_new_decoder_draws_the_tokens_of_the_old_encoder(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs a checkpoint"):
        FSQTraining(decoder_only=True)
    before = trained("fsq", collection, tmp_path / "a")
    name = published(before, tmp_path)
    after = trained("fsq", collection, tmp_path / "b", start_from=name, decoder_only=True, learning_rate=0.1)
    old, new = (read_weights(folder / "model.safetensors") for folder in (before, after))
    changed = {key.partition(".")[0] for key in old if not torch.equal(old[key], new[key])}
    assert changed == {"decoder"}
    known = read_card(before)["sha256"]
    load_autoencoder("model", torch.device("cpu"), known, beside=after.parent)
    with pytest.raises(CheckpointError, match="not the one"):
        load_autoencoder("model", torch.device("cpu"), "0" * 64, beside=after.parent)
