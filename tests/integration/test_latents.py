"""Pictures from chance, more like one, and mixtures, over HTTP and in a terminal; what a work was made from."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from app.media.pixels import read_upload
from models.checkpoint import write_model
from models.vae.network import VAE
from tests.app.test_datasets import drawing
from tests.models.test_vae import SMALL
from tests.studio import Studio, finished, wait_until

MODEL, CHANCE = "small-faces", "unconditional-image-generation"


@pytest.fixture(scope="module", autouse=True)
def model(studio: Studio) -> Iterator[None]:
    publish(studio)
    yield
    shutil.rmtree(studio.folder / "data" / "checkpoints" / MODEL)  # other tests expect another first model


def publish(studio: Studio) -> None:
    """A VAE that nobody trained, with two styles."""
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"classes": 2})
    card = {"family": "vae", "config": config.model_dump(), "labels": ["ink", "oil"], "title": "Small faces"}
    write_model(studio.folder / "data" / "checkpoints" / MODEL, VAE(config), card)
    Image.new("RGB", (32, 32), "pink").save(studio.folder / "data" / "checkpoints" / MODEL / "samples.png")


def ask(client: httpx.Client, task: str, images: list[dict[str, str]] | None = None, **params: Any) -> httpx.Response:
    given = {"model": MODEL, "task": task, "params": params, "inputs": {"images": images or []}}
    return client.post("/generations", json=given)


def draw(client: httpx.Client, task: str, images: list[dict[str, str]] | None = None, **params: Any) -> dict[str, Any]:
    answer = ask(client, task, images, **params)
    assert answer.status_code == 202, answer.text
    job = finished(client, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return dict(job)


def upload(client: httpx.Client, number: int = 1) -> dict[str, str]:
    answer = client.post("/uploads", files={"file": ("kite.png", drawing(number))})
    return {"upload": str(answer.json()["id"])}


def pixels(client: httpx.Client, work: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.get(f"/artworks/{work['id']}/file").content)).convert("RGB"), int)


def test_pictures_from_chance_have_a_style_of_the_models_own(artist: httpx.Client) -> None:
    job = draw(artist, CHANCE, count=3, label="oil")
    assert len(job["artworks"]) == 3 and job["params"]["label"] == "oil"
    refused = ask(artist, CHANCE, label="water")
    assert refused.status_code == 422 and refused.json()["errors"][0]["loc"] == ["body", "params", "label"]
    assert "ink, oil" in refused.json()["errors"][0]["msg"]
    found = artist.get("/artworks", params={"q": "oil small faces"}).json()["items"]
    assert {work["id"] for work in job["artworks"]} <= {work["id"] for work in found}
    made = job["artworks"][0]
    for _ in range(2):  # what is made of a work is found by what that one is of, said once
        made = draw(artist, "image-variation", [{"artwork": made["id"]}], strength=0.3)["artworks"][0]
        assert artist.get(f"/artworks/{made['id']}").json()["subject"] == "oil · Small faces"


def test_a_work_is_varied_and_mixed_and_says_what_it_was_made_from(
    studio: Studio, artist: httpx.Client, other: httpx.Client
) -> None:
    first = draw(artist, CHANCE, seed=3)["artworks"][0]
    assert artist.get(f"/models/{MODEL}").json()["tasks"][0]["choices"] == {"label": ["ink", "oil"]}
    varied = draw(artist, "image-variation", [{"artwork": first["id"]}], strength=0.3, count=2)
    assert varied["inputs"] == {"image": [{"artwork": first["id"], "upload": None}]}
    kite = upload(artist)
    mixed = draw(artist, "image-interpolation", [{"artwork": first["id"]}, kite], weights=[0.75, 0.25])
    work = artist.get(f"/artworks/{mixed['artworks'][0]['id']}").json()
    kept = work["provenance"]["inputs"]["image"]
    assert kept[0]["artwork"] == first["id"] and kept[1]["upload"] == kite["upload"] and len(kept[1]["sha256"]) == 64

    browser = studio.signed_in("artist")
    page = browser.get(f"/artworks/{work['id']}").text
    assert "Made from" in page and f'href="/artworks/{first["id"]}"' in page and kite["upload"] in page
    source = browser.get(f"/artworks/{first['id']}").text
    assert "Made from this" in source and all(made["id"] in source for made in varied["artworks"])

    artist.patch(f"/artworks/{work['id']}", json={"visibility": "studio"})
    guest = studio.signed_in("other")
    for path in (f"/artworks/{work['id']}", f"/create?artwork={work['id']}"):
        answer = guest.get(path)
        assert answer.status_code == 200
        assert kite["upload"] not in answer.text and first["id"] not in answer.text, "whose own they are sees them"
    file = other.get(f"/artworks/{work['id']}/file").content
    assert kept[1]["sha256"].encode() in file, "made from it, whatever it is called here"
    assert kite["upload"].encode() not in file and first["id"].encode() not in file
    opened = browser.get(f"/create?artwork={work['id']}").text
    assert kite["upload"] in opened and 'id="differences" role="status" hidden' in opened
    own, others = (client.post("/generations/restoration", files={"file": file}).json() for client in (artist, other))
    assert own == {"request": {**own["request"], "inputs": mixed["inputs"]}, "differences": []}
    assert own["request"]["params"] == {**mixed["params"], "weights": [0.75, 0.25], "path": False}
    assert others["request"]["inputs"] == {} and "2 of the 2" in others["differences"][0]


def test_a_way_leads_from_one_picture_to_the_other(artist: httpx.Client) -> None:
    ends = [upload(artist, number) for number in (4, 5)]
    way = draw(artist, "image-interpolation", ends, path=True, count=5)["artworks"]
    alone = [draw(artist, "image-variation", [end], strength=0)["artworks"][0] for end in ends]
    for at, end in zip((way[0], way[-1]), alone, strict=True):
        assert np.abs(pixels(artist, at) - pixels(artist, end)).max() <= 1
    middle = artist.get(f"/artworks/{way[1]['id']}").json()
    assert middle["provenance"]["alone"]["weights"] == [0.75, 0.25]
    again = draw(artist, "image-interpolation", ends, weights=[0.75, 0.25])["artworks"][0]
    assert np.abs(pixels(artist, middle) - pixels(artist, again)).max() <= 1
    assert ask(artist, "image-interpolation", ends, count=3).status_code == 422  # three times the same


def test_pictures_that_do_not_fit_the_task_are_refused(artist: httpx.Client, other: httpx.Client) -> None:
    mine, theirs = upload(artist), upload(other)
    nobody = {"artwork": "0190b5a0-0000-7000-8000-000000000000"}
    for images, place in (
        ([], ["body", "inputs", "image"]),
        ([mine, mine], ["body", "inputs", "image"]),
        ([theirs], ["body", "inputs", "image", 0]),
        ([nobody], ["body", "inputs", "image", 0]),
        ([{"upload": "../../etc"}], ["body", "inputs", "image", 0, "upload"]),
        ([{**mine, **nobody}], ["body", "inputs", "image", 0]),
        ([{}], ["body", "inputs", "image", 0]),
    ):
        answer = ask(artist, "image-variation", images)
        assert answer.status_code == 422, (images, answer.text)
        assert answer.json()["errors"][0]["loc"] == place, (images, answer.text)
    for weights in ([1.0], [0, 0], [2, 1], [-1, 1]):
        answer = ask(artist, "image-interpolation", [mine, mine], weights=weights)
        assert answer.status_code == 422 and answer.json()["errors"][0]["loc"][:2] == ["body", "params"], answer.text
    assert ask(artist, CHANCE, [mine]).status_code == 422


def explore(client: httpx.Client, task: str, images: list[dict[str, str]], **params: Any) -> httpx.Response:
    given = {"model": MODEL, "task": task, "params": params, "inputs": {"images": images}}
    return client.post("/explorations", json=given, timeout=60)


def frame_of(client: httpx.Client, task: str, images: list[dict[str, str]], **params: Any) -> httpx.Response:
    """The first that comes in time: a busy machine may need more than one try."""

    def attempt() -> httpx.Response | None:
        answer = explore(client, task, images, **params)
        assert answer.status_code in (200, 503), answer.text
        return answer if answer.status_code == 200 else None

    return wait_until("a live frame", attempt, 120)  # type: ignore[no-any-return]


def test_a_live_frame_is_the_picture_that_would_be_kept_and_keeps_nothing(artist: httpx.Client) -> None:
    ends = [upload(artist, number) for number in (14, 15)]
    before = len(artist.get("/generations", params={"limit": 100}).json()["items"])
    frame = frame_of(artist, "image-interpolation", ends, weights=[0.3, 0.7])
    assert frame.headers["content-type"] == "image/png"
    assert frame.headers["cache-control"] == "no-store"
    assert len(artist.get("/generations", params={"limit": 100}).json()["items"]) == before
    kept = draw(artist, "image-interpolation", ends, weights=[0.3, 0.7])["artworks"][0]
    shown = np.asarray(Image.open(io.BytesIO(frame.content)).convert("RGB"), int)
    assert np.abs(shown - pixels(artist, kept)).max() <= 1
    assert explore(artist, "image-interpolation", ends[:1]).status_code == 422
    prompted = {"model": "drawings-transformer", "task": "text-to-image", "params": {"prompt": "x"}}
    slow = artist.post("/explorations", json=prompted)
    assert slow.status_code == 422 and "too slow" in slow.json()["detail"]


def test_of_many_requests_for_frames_the_latest_wins(studio: Studio, artist: httpx.Client) -> None:
    ends = [upload(artist, number) for number in (16, 17)]
    frame_of(artist, "image-interpolation", ends)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda i: explore(artist, "image-interpolation", ends, weights=[i / 10, 1 - i / 10]).status_code,
                range(1, 9),
            )
        )
    assert set(answers) <= {200, 204} and 200 in answers


def test_without_a_worker_a_frame_is_refused_in_time(fresh_studio: Callable[..., Studio]) -> None:
    studio = fresh_studio()
    publish(studio)
    studio.start("valkey", "web")
    client = studio.client("lonely")
    began = time.monotonic()
    answer = explore(client, CHANCE, [])
    assert answer.status_code == 503 and time.monotonic() - began < 40
    studio.kill("valkey")
    assert explore(client, CHANCE, []).status_code == 503


def test_a_picture_whose_file_is_gone_fails_the_job_with_the_reason(studio: Studio, artist: httpx.Client) -> None:
    kite = upload(artist, 77)
    digest = artist.get(f"/uploads/{kite['upload']}").json()["sha256"]
    (stored,) = [path for path in (studio.folder / "data").rglob(f"*{digest[4:]}*") if path.is_file()]
    stored.unlink()
    job = finished(artist, ask(artist, "image-variation", [kite]).json()["id"])
    assert job["status"] == "failed" and "no longer there" in job["error"]


def test_the_terminal_draws_from_pictures_too(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "kite.png").write_bytes(drawing(8))
    chance = studio.run("generate", MODEL, "--count", "2", "--seed", "5", "-o", str(tmp_path / "out"))
    assert len(chance.stdout.split()) == 2
    arguments = ("generate", MODEL, "--task", "image-variation", "--param", "strength=0.2", "-o", str(tmp_path / "out"))
    varied = studio.run(*arguments, "--image", str(tmp_path / "kite.png"))
    with Image.open(varied.stdout.strip()) as made:
        provenance = json.loads(made.text["danqing"])  # type: ignore[attr-defined]
        assert made.size == (16, 16) and provenance["task"] == "image-variation"
    assert provenance["inputs"] == {"image": [{"sha256": hashlib.sha256(read_upload(drawing(8))[0]).hexdigest()}]}
    wrong = studio.run(*arguments, "--image", str(tmp_path / "kite.png"), "--param", "direction=up", check=False)
    assert wrong.returncode == 2 and "direction: This model" in wrong.stderr
    refused = studio.run(*arguments, check=False)
    assert refused.returncode == 2 and "takes one picture" in refused.stderr
