"""Pictures that are made larger before they are kept: by whom, how far, and what if something is gone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import update

from app.checkpoints import service as checkpoints
from app.database import session_scope
from app.generations.tables import Generation
from app.settings import get_settings
from models.contract.sampling import Cancelled, Output
from models.contract.upscaling import IMAGE_UPSCALING, LARGEST, steps_to
from models.contract.values import Picture, Text
from tests.support import poet
from tests.support.artist import client, picture, submit, upload, work
from workers import generate, model_cache, settle
from workers.enlarge import enlarged

UPSCALER = "drawings-upscaler"


@pytest.fixture
def artist(in_process: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for module in (generate, settle):
        monkeypatch.setattr(module, "publish", lambda user, *events: None)
    yield client("artist")
    model_cache._loaded.clear()


def faces(**more: Any) -> dict[str, Any]:
    return {"model": "pixel-faces", "task": "unconditional-image-generation", "params": {"seed": 7}, **more}


def made(artist: TestClient, request: dict[str, Any]) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """(the first work of a request, its pixels)."""
    job = submit(artist, request)
    work()
    done = artist.get(f"/api/v1/generations/{job['id']}").json()
    assert done["status"] == "succeeded", done["error"]
    found = artist.get(f"/api/v1/artworks/{done['artworks'][0]['id']}").json()
    file = artist.get(f"/api/v1/artworks/{found['id']}/file").content
    return found, np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def test_what_is_drawn_is_kept_larger_and_tells_by_what(artist: TestClient) -> None:
    _, small = made(artist, faces())
    found, large = made(artist, faces(enlarge={"size": 100}))
    assert small.shape == (32, 32, 3) and large.shape == (128, 128, 3) and found["width"] == 128
    again = np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(again - small).mean() < 12, "it is the same picture"
    sha256 = checkpoints.get(UPSCALER).sha256
    said = {"size": 100, "pixel_art": False, "model": UPSCALER, "checkpoint_sha256": sha256}
    assert found["provenance"]["enlarge"] == said
    assert UPSCALER in artist.get(f"/artworks/{found['id']}").text


def test_every_pixel_becomes_a_square_where_that_is_asked_for(artist: TestClient) -> None:
    _, small = made(artist, faces())
    _, large = made(artist, faces(enlarge={"size": 256, "pixel_art": True}))
    assert np.array_equal(large, small.repeat(8, 0).repeat(8, 1))


def test_its_request_comes_back_from_its_file(artist: TestClient) -> None:
    found, large = made(artist, faces(enlarge={"size": 64}))
    file = artist.get(f"/api/v1/artworks/{found['id']}/file").content
    restored = artist.post("/api/v1/generations/restoration", files={"file": ("work.png", file)}).json()
    assert restored["differences"] == []
    assert restored["request"]["enlarge"] == {"size": 64, "model": UPSCALER, "pixel_art": False}
    _, again = made(artist, restored["request"])
    assert np.array_equal(again, large)
    page = artist.get("/create", params={"artwork": found["id"]}).text
    assert '<option value="64" selected>' in page


def test_of_a_model_that_is_gone_or_replaced_the_file_says_so(
    artist: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = made(artist, faces(enlarge={"size": 64}))
    file = {"file": ("work.png", artist.get(f"/api/v1/artworks/{found['id']}/file").content)}
    known = checkpoints.checkpoints
    monkeypatch.setattr(checkpoints, "checkpoints", lambda: {k: v for k, v in known().items() if k != UPSCALER})
    restored = artist.post("/api/v1/generations/restoration", files=file).json()
    assert restored["differences"] == [f"The model {UPSCALER} is not here"]
    assert restored["request"]["enlarge"] == {"size": 64, "model": None, "pixel_art": False}
    refused = artist.post("/api/v1/generations", json=restored["request"])
    assert refused.status_code == 422 and "no model here that enlarges" in refused.json()["errors"][0]["msg"]


@pytest.mark.parametrize(
    ("enlarge", "place", "why"),
    [
        ({"size": 63}, ["body", "enlarge", "size"], "64"),
        ({"size": LARGEST + 1}, ["body", "enlarge", "size"], str(LARGEST)),
        ({"size": "256"}, ["body", "enlarge", "size"], "whole number"),
        ({}, ["body", "enlarge", "size"], "Fill this in"),
        ({"size": 256, "model": "pixel-faces"}, ["body", "enlarge", "model"], "has no task image-upscaling"),
        ({"size": 256, "model": "nobody"}, ["body", "enlarge", "model"], "There is no model nobody"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(
    artist: TestClient, enlarge: dict[str, Any], place: list[str], why: str
) -> None:
    refused = artist.post("/api/v1/generations", json=faces(enlarge=enlarge))
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["loc"] == place and why in error["msg"]


def test_only_pictures_are_enlarged_and_not_twice(artist: TestClient) -> None:
    image = upload(artist, "a.png", picture())
    twice = {"model": UPSCALER, "task": IMAGE_UPSCALING, "inputs": {"image": [{"upload": image}]}}
    with poet.published(get_settings().data / "checkpoints"):
        for request in (twice, poet.asked(image)):
            refused = artist.post("/api/v1/generations", json={**request, "enlarge": {"size": 256}})
            assert refused.status_code == 422 and "cannot be enlarged" in refused.json()["errors"][0]["msg"]


def test_it_costs_what_it_takes_and_fills_no_batch(artist: TestClient) -> None:
    plain, small, large, squares = (
        submit(artist, faces(**({"enlarge": enlarge} if enlarge else {})))["cost"]
        for enlarge in (None, {"size": 256}, {"size": 1024}, {"size": 1024, "pixel_art": True})
    )
    assert plain == squares < small < large


def test_a_key_of_before_still_names_its_job(artist: TestClient) -> None:
    headers = {"Idempotency-Key": "one"}
    jobs = [artist.post("/api/v1/generations", json=each, headers=headers) for each in (faces(), faces(enlarge=None))]
    assert jobs[0].json()["id"] == jobs[1].json()["id"]
    other = artist.post("/api/v1/generations", json=faces(enlarge={"size": 256}), headers=headers)
    assert other.status_code == 409


def test_a_job_whose_upscaler_was_replaced_fails_with_the_reason(artist: TestClient) -> None:
    job = submit(artist, faces(enlarge={"size": 256}))
    with session_scope() as session:
        kept = {"size": 256, "pixel_art": False, "model": UPSCALER, "checkpoint_sha256": "0" * 64, "cost": 1}
        session.execute(update(Generation).where(Generation.id == job["id"]).values(enlarge=kept))
    work()
    done = artist.get(f"/api/v1/generations/{job['id']}").json()
    assert done["status"] == "failed" and "has been replaced" in done["error"]


def test_the_create_page_proposes_a_size_and_pixel_art_where_the_model_draws_it(artist: TestClient) -> None:
    drawn, squares, upscaler = (
        artist.get("/create", params={"model": model}).text
        for model in ("drawings-transformer", "pixel-faces", UPSCALER)
    )
    assert '<option value="256" selected>' in drawn and 'name="enlarge.pixel_art"' in drawn
    box = 'name="enlarge.pixel_art" type="checkbox" data-type="boolean" checked'
    assert box in squares and box not in drawn and "enlarge.size" not in upscaler


def test_steps_reach_the_size_and_never_leave_what_is_possible() -> None:
    assert [steps_to(256, side) for side in (64, 32, 100, 128, 256, 300)] == [[4], [4, 2], [4], [2], [], []]
    for size in (64, 256, 1000, LARGEST):
        for side in range(8, 2 * LARGEST, 37):
            reached = side * int(np.prod(steps_to(size, side)))
            assert reached == side or (reached <= LARGEST and (reached >= size or 2 * reached > LARGEST))


def test_what_is_cancelled_meanwhile_comes_back_as_it_was() -> None:
    output = Output(Picture(np.zeros((8, 8, 3), np.uint8)))

    def cancelled() -> None:
        raise Cancelled

    wanted = {"size": 64, "pixel_art": False, "model": UPSCALER, "checkpoint_sha256": checkpoints.get(UPSCALER).sha256}
    assert enlarged(output, wanted, cancelled) is output
    text = Output(Text("words"))
    assert enlarged(text, wanted, cancelled) is text and enlarged(output, {}, cancelled) is output
