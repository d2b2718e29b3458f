"""Loaded models are those that the catalogue has now."""

from __future__ import annotations

import shutil

import pytest
import torch

from app.checkpoints import service
from app.settings import ROOT, get_settings
from models.autoencoders.load import load
from models.checkpoint import read_card, write_model
from models.contract.sampling import Request
from models.transformer.sample import TransformerSampler
from workers import model_cache

ZOO = ROOT / "models" / "zoo"


@pytest.mark.parametrize("in_process", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("in_process")
def test_a_decoder_that_was_replaced_draws_at_once() -> None:
    """A finer decoder of the same latents, published under its own name, is what its transformers draw with."""
    own = get_settings().data / "checkpoints"
    for name in ("drawings-fsq", "drawings-transformer"):
        shutil.copytree(ZOO / name, own / name)
    sha256 = service.get("drawings-transformer").sha256
    before = model_cache.sampler("drawings-transformer", sha256)
    assert model_cache.sampler("drawings-transformer", sha256) is before

    autoencoder, card = load(own / "drawings-fsq", torch.device("cpu")), read_card(own / "drawings-fsq")
    with torch.no_grad():
        for weight in autoencoder.decoder.parameters():
            weight.zero_()
    shutil.rmtree(own / "drawings-fsq")
    same = [card["sha256"], *card.get("same_latents_as", [])]
    write_model(own / "drawings-fsq", autoencoder, {**card, "same_latents_as": same})
    after = model_cache.sampler("drawings-transformer", sha256)
    assert isinstance(after, TransformerSampler)
    assert after is not before
    [work] = after.sample([Request(*asked())], lambda *_: None)
    assert work.pixels.min() == work.pixels.max(), "it still draws with the old decoder"
    assert model_cache.loaded().count("drawings-transformer") == 1


def asked() -> tuple[str, object, int]:
    task = service.get("drawings-transformer").tasks[0]
    return task.name, task.params.model_validate({"prompt": "a fox"}), 1
