"""Content and style over HTTP: which weights go with which picture, and that a work can be made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import write_model
from models.vae.mixing.network import MixingVAE
from models.vae.mixing.spec import MixingConfig
from tests.integration.test_latents import pixels, upload
from tests.studio import Studio, finished

MODEL = "small-mixing"
CONFIG = MixingConfig(size=32, content=2, style=4, widths=(16, 16, 8), decoder_blocks=1, classes=2)


@pytest.fixture(scope="module", autouse=True)
def model(studio: Studio) -> Iterator[None]:
    """Nobody trained it; its two styles are far apart."""
    torch.manual_seed(0)
    network = MixingVAE(CONFIG)
    for name, weight in network.named_parameters():
        if "conv2" in name or name.startswith("style."):
            torch.nn.init.normal_(weight, std=0.5)
    network.style_means.copy_(torch.tensor([[-6.0] * 4, [6.0] * 4]))
    folder = studio.folder / "data" / "checkpoints" / MODEL
    card = {"family": "mixing-vae", "config": CONFIG.model_dump(), "labels": ["ink", "oil"], "title": "Small mixing"}
    write_model(folder, network, card)
    Image.new("RGB", (32, 32), "teal").save(folder / "samples.png")
    yield
    shutil.rmtree(folder)


def ask(client: httpx.Client, task: str, images: list[dict[str, str]], **params: Any) -> httpx.Response:
    given = {"model": MODEL, "task": task, "params": params, "inputs": {"images": images}}
    return client.post("/generations", json=given)


def draw(client: httpx.Client, task: str, images: list[dict[str, str]], **params: Any) -> list[dict[str, Any]]:
    answer = ask(client, task, images, **params)
    assert answer.status_code == 202, answer.text
    job = finished(client, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return list(job["artworks"])


def test_content_and_style_have_weights_of_their_own(artist: httpx.Client) -> None:
    images = [upload(artist, 1), upload(artist, 2)]
    usual = draw(artist, "image-interpolation", images)[0]
    said = draw(artist, "image-interpolation", images, weights=[1, 0], style_weights=[0, 1])[0]
    first = draw(artist, "image-interpolation", images, style_weights=[1, 0])[0]
    assert np.array_equal(pixels(artist, usual), pixels(artist, said))
    assert not np.array_equal(pixels(artist, usual), pixels(artist, first))
    refused = ask(artist, "image-interpolation", images, style_weights=[1, 0, 0])
    assert refused.status_code == 422 and refused.json()["errors"][0]["loc"] == ["body", "params", "style_weights"]


def test_a_picture_on_the_way_can_be_made_again_alone(artist: httpx.Client) -> None:
    images = [upload(artist, 1), upload(artist, 2)]
    way = draw(artist, "image-interpolation", images, path=True, count=3)
    middle = artist.get(f"/artworks/{way[1]['id']}").json()
    assert middle["provenance"]["alone"] == {"weights": [1.0, 0.0], "style_weights": [0.5, 0.5], "path": False}
    again = draw(artist, "image-interpolation", images, weights=[1.0, 0.0], style_weights=[0.5, 0.5])[0]
    assert np.abs(pixels(artist, again) - pixels(artist, way[1])).max() <= 1


def test_a_picture_is_drawn_again_in_a_style_that_the_model_has(artist: httpx.Client) -> None:
    image = [upload(artist, 3)]
    ink, oil = (draw(artist, "image-variation", image, label=label, seed=1)[0] for label in ("ink", "oil"))
    assert np.abs(pixels(artist, ink) - pixels(artist, oil)).mean() > 1
    refused = ask(artist, "image-variation", image, label="water")
    assert refused.status_code == 422 and "ink, oil" in refused.json()["errors"][0]["msg"]
