"""The API's manners: preferences, methods, parameters, ranges by the book; many things at once; generated clients."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.generations.api import wait_seconds
from app.web.files import asked_for
from tests.studio import Studio, finished, request, submit


@pytest.fixture(scope="module")
def work(artist: httpx.Client) -> dict[str, Any]:
    return dict(finished(artist, submit(artist, "a fox")["id"])["artworks"][0])


# --- preferences ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (["wait"], 60),
        (["wait=5"], 5),
        (["respond-async, wait=100"], 60),
        (["WAIT = 7"], 7),
        (['wait="9"; x=1'], 9),
        (["wait=99999999999999"], 60),
        (["wait=soon"], 0),
        (["wait=-1"], 0),
        (["respond-async"], 0),
        (["waiting=5"], 0),
        (["respond-async", "wait=3"], 3),
    ],
)
def test_a_preference_is_read_as_its_standard_has_it(prefer: list[str], seconds: int) -> None:
    assert wait_seconds(prefer) == seconds


def test_what_was_preferred_and_heeded_is_said(artist: httpx.Client) -> None:
    answer = artist.post("/generations", json=request("a fox"), headers={"Prefer": "wait"})
    assert answer.status_code == 201 and answer.headers["preference-applied"] == "wait=60"
    plain = artist.post("/generations", json=request("a fox"), headers={"Prefer": "respond-async"})
    assert plain.status_code == 202 and "preference-applied" not in plain.headers


def test_a_prompt_that_is_longer_than_what_is_read_says_so(artist: httpx.Client) -> None:
    for prompt, count in (
        ("apple " * 39 + "red", 40),
        ("一只红色的狐狸坐在绿色的草地上，背景是蓝色的天空和白色的云朵，远处有一座房子和三棵高大的树，扁平风格", 42),
    ):
        job = artist.post("/generations", json=request(prompt), headers={"Prefer": "wait"}).json()
        assert f"has {count} tokens, and the model reads 32" in job["notice"], job
    assert artist.post("/generations", json=request("a fox"), headers={"Prefer": "wait"}).json()["notice"] is None


# --- parameters and methods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/artworks?favorite=true", "/generations?state=queued", "/users/me?x=1"])
def test_a_parameter_that_is_none_is_named(artist: httpx.Client, path: str) -> None:
    answer = artist.get(path)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["query", path.partition("?")[2].partition("=")[0]]


def test_flags_are_true_or_false(artist: httpx.Client, work: dict[str, Any]) -> None:
    assert artist.get("/artworks", params={"favourite": "true"}).status_code == 200
    for value in ("yes", "1", "on", "True", ""):
        assert artist.get("/artworks", params={"favourite": value}).status_code == 422, value
    assert artist.patch(f"/artworks/{work['id']}", json={"favourite": "yes"}).status_code == 422
    assert artist.patch(f"/artworks/{work['id']}", json={"favourite": 1}).status_code == 422


def test_an_address_says_all_that_it_takes(studio: Studio, artist: httpx.Client, work: dict[str, Any]) -> None:
    allowed = "DELETE, GET, HEAD, OPTIONS, PATCH"
    wrong = artist.put(f"/artworks/{work['id']}", json={})
    assert wrong.status_code == 405 and wrong.headers["allow"] == allowed
    asked = httpx.options(f"{studio.url}/api/v1/artworks/{work['id']}")
    assert asked.status_code == 204 and asked.headers["allow"] == allowed
    assert artist.request("TRACE", "/generations").status_code == 405
    assert artist.request("TRACE", "/generations").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert httpx.options(f"{studio.url}/api/v1/nothing").status_code in (401, 404, 405)


# --- ranges ---------------------------------------------------------------------------------------------------------


class Asked:
    def __init__(self, value: str) -> None:
        self.headers = {"range": value}


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes=0-3", range(4)),
        ("bytes=-3", range(7, 10)),
        ("bytes=7-", range(7, 10)),
        ("bytes=,0-3,", range(4)),
        ("Bytes=0-3", range(4)),
        ("bytes=0-3,5-6", None),
        ("bytes=20-30", range(20, 10)),
        ("bytes=20-,30-", range(20, 10)),
        ("bytes=20-,0-3", None),
        ("bytes=3-2", None),
        ("bytes=a-b", None),
        ("bytes=0-3;", None),
        ("bytes=", None),
        ("lines=0-3", None),
        ("bytes 0-3", None),
        ("bytes=" + "0-0," * 10_000, None),
    ],
)
def test_a_range_is_read_as_its_standard_has_it(value: str, part: range | None) -> None:
    found = asked_for(Asked(value), 10, '"tag"')  # type: ignore[arg-type]
    assert (found is None) == (part is None) and list(found or []) == list(part or [])


# --- many at once ---------------------------------------------------------------------------------------------------


def test_many_works_are_changed_and_fetched_at_once(studio: Studio, artist: httpx.Client) -> None:
    works = [finished(artist, submit(artist, "a fox", seed=seed)["id"])["artworks"][0]["id"] for seed in (1, 2)]
    nobody = "0199c0de-0000-7000-8000-000000000000"

    def act(action: str, ids: list[str], **more: Any) -> httpx.Response:
        return artist.post("/artworks/selection", json={"ids": ids, "action": action, **more})

    assert act("tag", [*works, nobody], tags=["vulpes"]).json() == {"changed": 2, "missing": [nobody]}
    assert {each["id"] for each in artist.get("/artworks", params={"tag": "vulpes"}).json()["items"]} == set(works)
    with zipfile.ZipFile(io.BytesIO(act("download", works).content)) as zipped:
        for identifier, name in zip(works, zipped.namelist(), strict=True):
            assert identifier in name
            assert zipped.read(name) == artist.get(f"/artworks/{identifier}/file").content
    assert act("download", [*works, nobody]).status_code == 404
    assert act("trash", works).json()["changed"] == 2
    assert not artist.get("/artworks", params={"tag": "vulpes"}).json()["items"]
    assert act("restore", works).json()["changed"] == 2
    other = studio.client("somebody-else")
    answer = other.post("/artworks/selection", json={"ids": works, "action": "trash"})
    assert answer.json() == {"changed": 0, "missing": works}
    assert act("delete", works).status_code == 409, "they are not in the trash"
    assert act("trash", []).status_code == act("burn", works).status_code == 422


def test_many_jobs_are_cancelled_at_once(artist: httpx.Client, work: dict[str, Any]) -> None:
    waiting = [submit(artist, "a fox", count=16)["id"] for _ in range(3)]
    ended, nobody = work["generation_id"], "0199c0de-0000-7000-8000-000000000000"
    answer = artist.post("/generations/cancellations", json={"ids": [*waiting, ended, nobody]}).json()
    assert answer["ended"] == [ended] and answer["missing"] == [nobody] and answer["cancelled"] == waiting
    assert {finished(artist, job)["status"] for job in waiting} == {"cancelled"}


# --- clients --------------------------------------------------------------------------------------------------------

BINARY = ("image/png", "image/webp", "application/zip", "application/octet-stream")


def test_a_client_is_generated_with_every_operation_and_works(
    studio: Studio, artist: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = artist.get("/openapi.json").json()
    assert document == studio.signed_in("artist").get("/openapi.json").json()
    by_key = httpx.get(f"{studio.url}/openapi.json", headers={"Authorization": artist.headers["Authorization"]})
    assert by_key.json() == document, "a key opens it at the usual place, too"
    assert httpx.get(f"{studio.url}/openapi.json").status_code == 401
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    overrides = "".join(f"  {kind}: application/octet-stream\n" for kind in BINARY)
    (tmp_path / "config.yml").write_text(f"post_hooks: []\ncontent_type_overrides:\n{overrides}")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    command += ["--config", "config.yml", "--meta", "none", "--output-path", "danqing_client"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    modules = [path for path in (tmp_path / "danqing_client" / "api").rglob("*.py") if path.name != "__init__.py"]
    assert len(modules) == len(ids), made.stdout

    monkeypatch.syspath_prepend(str(tmp_path))
    client_module = importlib.import_module("danqing_client")
    models = importlib.import_module("danqing_client.models")
    submitting = importlib.import_module("danqing_client.api.generations.generations_submit")
    getting = importlib.import_module("danqing_client.api.artworks.artworks_get_artwork")
    key = artist.headers["authorization"].removeprefix("Bearer ")
    body = models.GenerationIn.from_dict(request("a fox"))
    with client_module.AuthenticatedClient(base_url=studio.url, token=key, timeout=httpx.Timeout(60)) as client:
        job = submitting.sync(client=client, body=body, prefer="wait=60")
        assert job.status == "succeeded"
        assert getting.sync(job.artworks[0].id, client=client).model == "drawings-transformer"


# --- the queue, for admins --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def admin(studio: Studio) -> httpx.Client:
    return studio.client("boss-of-queues", "admin")


def test_a_paused_queue_takes_jobs_in_and_draws_them_when_it_goes_on(admin: httpx.Client, artist: httpx.Client) -> None:
    assert artist.put("/queue/pauses/generation").status_code == 403
    assert admin.put("/queue/pauses/generation").status_code == 204
    try:
        assert admin.get("/queue").json()["paused"] == ["generation"]
        job, other = (submit(artist, "a patient fox")["id"] for _ in range(2))
        assert admin.patch(f"/queue/{other}", json={"place": "first"}).status_code == 204
        assert admin.patch(f"/queue/{other}", json={"place": "middle"}).status_code == 422
        time.sleep(4.0)  # a worker looks every two seconds
        assert artist.get(f"/generations/{job}").json()["status"] == "queued"
        assert artist.get(f"/generations/{job}").json()["queue_position"] == 1
        assert admin.post(f"/queue/{other}/cancellation").status_code == 204
        cancelled = artist.get(f"/generations/{other}").json()
        assert (cancelled["status"], cancelled["notice"]) == ("cancelled", "An admin has cancelled it.")
    finally:
        assert admin.delete("/queue/pauses/generation").status_code == 204
    assert finished(artist, job)["status"] == "succeeded"
    assert admin.patch(f"/queue/{job}", json={"place": "last"}).status_code == 409


def test_what_takes_room_is_told_to_admins(admin: httpx.Client, artist: httpx.Client) -> None:
    assert artist.get("/storage").status_code == 403
    found = admin.get("/storage").json()
    assert found["total"] > found["free"] > 0 and isinstance(found["runs"], list)
