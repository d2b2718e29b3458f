"""A picture's file gives back the request that made it, and says what would be different."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image, PngImagePlugin

from app.version import VERSION
from tests.app.test_datasets import drawing
from tests.studio import MODEL, finished, submit


def restore(client: httpx.Client, content: bytes, **headers: str) -> httpx.Response:
    return client.post("/generations/restoration", files={"file": ("work.png", content)}, headers=headers)


def told(**changes: Any) -> bytes:
    provenance = {
        "model": MODEL,
        "task": "text-to-image",
        "checkpoint_sha256": "ab" * 32,
        "version": VERSION,
        "params": {"prompt": "a fox"},
        "seed": 7,
        **changes,
    }
    return with_text(json.dumps(provenance))


def with_text(text: str) -> bytes:
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("danqing", text)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_a_file_draws_its_picture_again(artist: httpx.Client) -> None:
    job = finished(artist, submit(artist, "红色的狐狸", seed=5, count=2, guidance_scale=4.5)["id"])
    file = artist.get(f"/artworks/{job['artworks'][1]['id']}/file").content
    answer = restore(artist, file)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["differences"] == []
    asked = found["request"]
    assert asked["params"] == {**job["params"], "seed": 6, "count": 1} and asked["model"] == MODEL
    again = artist.post("/generations", json=asked)
    assert again.status_code == 202, again.text
    (work,) = finished(artist, again.json()["id"])["artworks"]
    pictures = [Image.open(io.BytesIO(each)) for each in (file, artist.get(f"/artworks/{work['id']}/file").content)]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_what_would_be_different_is_said(artist: httpx.Client) -> None:
    def differences(**changes: Any) -> list[str]:
        answer = restore(artist, told(**changes))
        assert answer.status_code == 200, answer.text
        return list(answer.json()["differences"])

    replaced = "The model has since been replaced: it will draw something else"
    assert differences() == [replaced]
    assert differences(model="long-gone", version="0.0.1") == [
        "The model long-gone is not here",
        f"It was drawn by version 0.0.1; this is {VERSION}",
    ]
    assert differences(task="image-interpolation") == [f"The model {MODEL} no longer does this"]
    assert differences(inputs={"images": [{"sha256": "cd" * 32}]})[1:] == [
        "Not among your pictures: 1 of the 1 it was made from"
    ]
    unfit = {"prompt": "a fox", "guidance_scale": "much", "sharpness": 3}
    answer = restore(artist, told(params=unfit), **{"Accept-Language": "zh-CN"}).json()
    assert answer["request"]["params"] == {"prompt": "a fox", "seed": 7, "count": 1}
    assert answer["differences"][0] == "模型后来被替换过：画出来会不一样"
    assert {each.split(" ")[0] for each in answer["differences"][1:]} == {"guidance_scale", "sharpness"}
    nothing_asked = restore(artist, told(params={}))
    assert nothing_asked.status_code == 200, "the form asks for what is missing"


IDS = [
    "empty",
    "text",
    "words",
    "list",
    "deep",
    "little",
    "path",
    "odd",
    "digest",
    "many",
    "version",
    "half",
    "nested",
    "long",
    "cut",
]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        with_text("no JSON"),
        with_text("[1]"),
        with_text("[" * 100_000),
        with_text(json.dumps({"model": MODEL})),
        with_text(json.dumps({"model": "../..", "task": "text-to-image", "checkpoint_sha256": ""})),
        told(params=["a fox"]),
        told(inputs={"images": [{"sha256": "../../etc"}]}),
        told(inputs={"images": [{"sha256": "cd" * 32}] * 99}),
        told(version="a x " * 4000),
        told(model="long-gone", params={"prompt": "\ud800"}),
        told(model="long-gone", params={"prompt": json.loads("[" * 400 + "]" * 400)}),
        told(model="long-gone", params={"prompt": "x" * 8000}),
        told()[:60],
    ],
    ids=IDS,
)
def test_what_is_no_file_of_ours_is_refused(artist: httpx.Client, content: bytes) -> None:
    answer = restore(artist, content)
    assert answer.status_code == 422, answer.text
    assert "how it was made" in answer.json()["detail"]


def test_weights_stay_with_their_pictures(artist: httpx.Client) -> None:
    kite = artist.post("/uploads", files={"file": ("kite.png", drawing(3))}).json()
    found = restore(
        artist,
        told(
            model="pixel-faces",
            task="image-interpolation",
            params={"weights": [0.1, 0.9]},
            inputs={"images": [{"sha256": "cd" * 32}, {"sha256": kite["sha256"]}]},
        ),
    ).json()
    assert found["request"]["inputs"]["image"] == [{"artwork": None, "upload": kite["id"]}]
    assert found["request"]["params"]["weights"] == [0.9]


def test_a_file_is_asked_for(artist: httpx.Client) -> None:
    assert artist.post("/generations/restoration", files={"other": b"x"}).status_code == 422
    assert artist.post("/generations/restoration", json={}).status_code in (415, 422)
