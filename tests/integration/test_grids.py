"""Grids over HTTP: all cells or none, one seed, what differs in each."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.app.test_datasets import drawing
from tests.studio import finished, request


def grid(columns: dict[str, Any], rows: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    return {"request": {**request("a fox"), **asked}, "columns": columns, **({"rows": rows} if rows else {})}


def test_cells_have_one_seed_and_differ_in_what_was_asked(artist: httpx.Client) -> None:
    columns = {"parameter": "temperature", "values": [0.7, 1.2]}
    asked = grid(columns, {"parameter": "prompt", "values": ["a fox", "a red heart", "一只猫"]})
    answer = artist.post("/grids", json=asked, headers={"Idempotency-Key": "grid-1"})
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert answer.headers["Location"] == f"/api/v1/grids/{made['id']}"
    cells = [[(job["params"]["prompt"], job["params"]["temperature"]) for job in row] for row in made["cells"]]
    assert cells == [[(prompt, each) for each in (0.7, 1.2)] for prompt in ("a fox", "a red heart", "一只猫")]
    jobs = [job for row in made["cells"] for job in row]
    assert {job["params"]["seed"] for job in jobs} == {made["request"]["params"]["seed"]}
    assert {job["grid"] for job in jobs} == {made["id"]}
    assert all(finished(artist, job["id"])["status"] == "succeeded" for job in jobs)

    again = artist.post("/grids", json=asked, headers={"Idempotency-Key": "grid-1"})
    assert again.json()["id"] == made["id"]
    other = artist.post("/grids", json=grid(columns), headers={"Idempotency-Key": "grid-1"})
    assert other.status_code == 409

    assert made["id"] in [each["id"] for each in artist.get("/grids").json()["items"]]
    work = artist.get(f"/grids/{made['id']}").json()["cells"][2][1]["artworks"][0]["id"]
    assert artist.delete(f"/grids/{made['id']}").status_code == 204
    assert artist.get(f"/grids/{made['id']}").status_code == 404
    assert artist.get(f"/artworks/{work}").status_code == 200
    assert artist.get(f"/generations/{jobs[0]['id']}").json()["grid"] is None


def test_pictures_are_given_apart(artist: httpx.Client) -> None:
    sent = [artist.post("/uploads", files={"file": ("a.png", drawing(n))}).json()["id"] for n in (31, 32)]
    inputs = [{"upload": each} for each in sent]
    asked = grid(
        {"role": "image", "values": inputs}, model="emoji-mixing", task="image-variation", params={"strength": 0.5}
    )
    made = artist.post("/grids", json=asked).json()
    assert [[each["upload"] for each in job["inputs"]["image"]] for job in made["cells"][0]] == [
        [each] for each in sent
    ]
    assert [each["upload"] for each in made["columns"]["values"]] == sent and made["rows"] is None


def test_a_grid_that_cannot_be_drawn_is_refused_as_a_whole(artist: httpx.Client, admin: httpx.Client) -> None:
    before = [job["id"] for job in artist.get("/generations").json()["items"]]
    good = {"parameter": "temperature", "values": [0.7, 1.0]}
    for asked, where in [
        (grid({"parameter": "temperature", "values": [0.7, "hot"]}), "temperature"),
        (grid({"parameter": "smell", "values": [1]}), "smell"),
        (grid({"role": "style", "values": [{"upload": "0199c0de-0000-7000-8000-000000000000"}]}), "style"),
        (grid({"role": "image", "values": [1]}), "columns"),
        (grid({"parameter": "temperature", "role": "image", "values": [1]}), "columns"),
        (grid({"values": [1]}), "columns"),
        (grid({"parameter": "temperature", "values": []}), "values"),
        (grid({"parameter": "seed", "values": list(range(25))}), "values"),
        (grid(good, good), "body"),
        (grid(good, params={"prompt": "a fox", "count": 4}), "body"),
        (grid({"parameter": "prompt", "values": ["a\u0000b", "a fox"]}), "prompt"),
        (grid({"parameter": "prompt", "values": ["\ud800"]}), "prompt"),
        (
            grid({"parameter": "seed", "values": list(range(24))}, {"parameter": "temperature", "values": [1.0] * 3}),
            "body",
        ),
    ]:
        body = json.dumps(asked)  # which says what UTF-8 cannot
        answer = artist.post("/grids", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422 and where in str(answer.json()["errors"]), (asked, answer.text)
    assert artist.post("/grids", json=grid(good, model="absent")).status_code == 404
    assert [job["id"] for job in artist.get("/generations").json()["items"]] == before

    made = artist.post("/grids", json=grid(good)).json()
    for other in (admin.get(f"/grids/{made['id']}"), admin.delete(f"/grids/{made['id']}")):
        assert other.status_code == 404
