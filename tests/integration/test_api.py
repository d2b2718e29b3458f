"""The HTTP contract against a running studio."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate
from PIL import Image

from app.main import create_app
from tests.studio import MODEL, PASSWORD, Studio, finished, provenance, request, submit, wait_until

OPEN = {"/healthz", "/readyz", "/metrics", "/sign-in", "/link/{token}", "/language", "/api/v1/sessions"}


def picture(form: str = "PNG", size: tuple[int, int] = (30, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "orange").save(buffer, form)
    return buffer.getvalue()


def is_problem(answer: httpx.Response) -> bool:
    return (
        answer.headers["content-type"] == "application/problem+json" and answer.json()["status"] == answer.status_code
    )


# --- the main job ---------------------------------------------------------------------------------------------------


def test_a_prompt_becomes_pictures_that_say_how_they_were_made(artist: httpx.Client) -> None:
    job = submit(artist, "红色的狐狸", count=2, seed=5)
    assert job["status"] == "queued" and job["params"]["seed"] == 5 and job["params"]["guidance_scale"]
    done = finished(artist, job["id"])
    assert done["status"] == "succeeded" and len(done["artworks"]) == 2
    assert [work["seed"] for work in done["artworks"]] == [5, 6]
    answer = artist.get(f"/artworks/{done['artworks'][1]['id']}/file")
    assert answer.headers["content-type"] == "image/png" and "immutable" in answer.headers["cache-control"]
    found = Image.open(io.BytesIO(answer.content))
    assert found.size == (64, 64)
    made = json.loads(found.info["danqing"])
    assert made["params"]["prompt"] == "红色的狐狸" and made["seed"] == 6
    assert made["checkpoint_sha256"] == artist.get(f"/models/{MODEL}").json()["checkpoint"]["sha256"]


def test_head_is_answered_as_get_without_the_body(studio: Studio, artist: httpx.Client) -> None:
    job = finished(artist, submit(artist, "a kite")["id"])
    work = f"/artworks/{job['artworks'][0]['id']}/file"
    seen, told = artist.get(work), artist.head(work)
    assert told.status_code == 200 and not told.content
    assert told.headers["content-length"] == seen.headers["content-length"] == str(len(seen.content))
    assert artist.head(f"/generations/{job['id']}/events").headers["content-type"].startswith("text/event-stream")
    assert artist.head("/artworks/nothing").status_code == 422 and artist.head("/models").status_code == 200
    assert httpx.head(f"{studio.url}/sign-in").headers["content-type"].startswith("text/html")
    assert httpx.head(f"{studio.url}/static/icon.svg").status_code == 200


def test_the_same_seed_gives_the_same_picture_alone_and_in_a_batch(artist: httpx.Client) -> None:
    def pixels(work: dict[str, Any]) -> bytes:
        content = artist.get(f"/artworks/{work['id']}/file").content
        return Image.open(io.BytesIO(content)).tobytes()

    alone = finished(artist, submit(artist, "a cat", seed=11)["id"])["artworks"][0]
    together = finished(artist, submit(artist, "a cat", seed=8, count=4)["id"])["artworks"][3]
    other = finished(artist, submit(artist, "a cat", seed=12)["id"])["artworks"][0]
    assert pixels(alone) == pixels(together) != pixels(other)
    assert provenance(artist, together)["batch"] >= 4


def test_requests_that_fit_are_drawn_in_one_batch(artist: httpx.Client) -> None:
    first = submit(artist, "a long queue", count=16)
    jobs = [submit(artist, f"animal {i}") for i in range(6)]
    assert finished(artist, first["id"])["status"] == "succeeded"
    batches = [provenance(artist, finished(artist, job["id"])["artworks"][0])["batch"] for job in jobs]
    assert max(batches) >= 4


def test_prefer_wait_answers_with_the_finished_job(artist: httpx.Client) -> None:
    answer = artist.post("/generations", json=request("a boat"), headers={"Prefer": "wait=60"})
    assert answer.status_code == 201 and answer.json()["status"] == "succeeded"
    assert answer.headers["location"] == f"/api/v1/generations/{answer.json()['id']}"
    assert artist.post("/generations", json=request("a boat"), headers={"Prefer": "wait=0"}).status_code == 202


def test_twenty_identical_requests_at_once_make_one_job(artist: httpx.Client) -> None:
    def post(_: int) -> httpx.Response:
        return artist.post("/generations", json=request("one only"), headers={"Idempotency-Key": "twenty"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(finished(artist, answers[0].json()["id"])["artworks"]) == 1
    other = artist.post("/generations", json=request("another"), headers={"Idempotency-Key": "twenty"})
    assert other.status_code == 409 and is_problem(other)


def test_events_tell_a_job_from_start_to_end_and_can_be_resumed(artist: httpx.Client) -> None:
    job = submit(artist, "a slow one", count=16)["id"]
    events: list[tuple[str, str, dict[str, Any]]] = []
    with artist.stream("GET", f"/generations/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = parse_events(stream)
    kinds = [kind for kind, _, _ in events]
    assert kinds[0] == "status" and kinds[-1] == "status" and events[-1][2]["status"] == "succeeded"
    assert len(events[-1][2]["artworks"]) == 16
    assert "progress" in kinds and "preview" in kinds
    assert next(data for kind, _, data in events if kind == "preview")["image"].startswith("data:image/png;base64,")
    seen = next(identifier for _, identifier, _ in events if identifier)
    with artist.stream("GET", f"/generations/{job}/events", headers={"Last-Event-ID": seen}) as stream:
        again = parse_events(stream)
    assert again[-1][2]["status"] == "succeeded"


def parse_events(stream: httpx.Response) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for block in "".join(stream.iter_text()).replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_a_job_can_be_cancelled_twice_but_not_after_its_end(artist: httpx.Client) -> None:
    blockers = [submit(artist, "blocker", count=16) for _ in range(2)]
    job = submit(artist, "to be cancelled", count=16)["id"]
    assert artist.post(f"/generations/{job}/cancellation").status_code == 200
    assert artist.post(f"/generations/{job}/cancellation").status_code == 200
    assert finished(artist, job)["status"] == "cancelled" and not finished(artist, job)["artworks"]
    artist.post(f"/generations/{blockers[1]['id']}/cancellation")
    ended = finished(artist, blockers[0]["id"])
    answer = artist.post(f"/generations/{ended['id']}/cancellation")
    assert answer.status_code == 409 and len(finished(artist, ended["id"])["artworks"]) == 16


def test_a_running_job_ends_soon_after_its_cancellation(artist: httpx.Client) -> None:
    job = submit(artist, "cancel me", count=16)["id"]
    with artist.stream("GET", f"/generations/{job}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: progress"):
                break
    artist.post(f"/generations/{job}/cancellation")
    assert finished(artist, job)["status"] in ("cancelled", "succeeded")


# --- artworks -------------------------------------------------------------------------------------------------------


def test_artworks_are_found_changed_trashed_and_restored(artist: httpx.Client) -> None:
    work = finished(artist, submit(artist, "Ünïque 猫 100% _x")["id"])["artworks"][0]
    for words in ("ünïque", "猫", "100%", "_x", "ÜNÏQUE 猫"):
        assert work["id"] in [found["id"] for found in artist.get("/artworks", params={"q": words}).json()["items"]]
    assert not artist.get("/artworks", params={"q": "1_0"}).json()["items"]
    changed = artist.patch(
        f"/artworks/{work['id']}", json={"title": "My cat", "tags": ["pet", "pet", "Zoo"], "favourite": True}
    ).json()
    assert changed["tags"] == ["pet", "Zoo"] and changed["favourite"]
    assert artist.get("/artworks", params={"tag": "zoo", "favourite": True}).json()["items"][0]["id"] == work["id"]
    assert artist.delete(f"/artworks/{work['id']}").status_code == 204
    assert not artist.get("/artworks", params={"tag": "zoo"}).json()["items"]
    assert artist.post(f"/artworks/{work['id']}/restoration").json()["deleted_at"] is None
    assert artist.get("/artworks", params={"tag": "zoo"}).json()["items"]


def test_pages_of_artworks_hold_each_once(artist: httpx.Client) -> None:
    finished(artist, submit(artist, "paged", count=7)["id"])
    seen: list[str] = []
    cursor = None
    while True:
        page = artist.get(
            "/artworks", params={"q": "paged", "limit": 3} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [work["id"] for work in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 7 == len(set(seen)) and seen == sorted(seen, reverse=True)


def test_files_answer_ranges_and_previews(artist: httpx.Client) -> None:
    work = finished(artist, submit(artist, "ranged")["id"])["artworks"][0]
    path = f"/artworks/{work['id']}/file"
    part = artist.get(path, headers={"Range": "bytes=0-7"})
    assert part.status_code == 206 and part.content == b"\x89PNG\r\n\x1a\n"
    many = artist.get(path, headers={"Range": "bytes=" + ",".join(f"{i}-{i}" for i in range(10_000))})
    assert many.status_code in (200, 416, 431, 400)
    preview = artist.get(f"/artworks/{work['id']}/preview", params={"size": 200})
    assert preview.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(preview.content)).size == (256, 256)


def test_what_belongs_to_another_is_not_found(artist: httpx.Client, other: httpx.Client) -> None:
    job = finished(artist, submit(artist, "private")["id"])
    work = job["artworks"][0]["id"]
    upload = artist.post("/uploads", files={"file": ("x.png", picture())}).json()["id"]
    for path in (
        f"/generations/{job['id']}",
        f"/generations/{job['id']}/events",
        f"/artworks/{work}",
        f"/artworks/{work}/file",
        f"/artworks/{work}/preview",
        f"/uploads/{upload}",
        f"/uploads/{upload}/file",
    ):
        answer = other.get(path)
        assert answer.status_code == 404 and is_problem(answer), path
    assert other.post(f"/generations/{job['id']}/cancellation").status_code == 404
    assert other.patch(f"/artworks/{work}", json={"title": "mine"}).status_code == 404
    assert other.delete(f"/artworks/{work}").status_code == 404
    artist.patch(f"/artworks/{work}", json={"visibility": "studio"})
    assert other.get(f"/artworks/{work}").status_code == 200, "shared works are seen"
    assert other.delete(f"/artworks/{work}").status_code == 404, "and not touched"
    artist.patch(f"/artworks/{work}", json={"favourite": True})
    assert other.get(f"/artworks/{work}").json()["favourite"] is False, "whom it pleases is nobody's business"
    liked = other.get("/artworks", params={"studio": True, "favourite": True}).json()["items"]
    assert work not in [found["id"] for found in liked]
    assert work in [found["id"] for found in other.get("/artworks", params={"studio": True}).json()["items"]]


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"prompt": "x" * 1_000}, "prompt"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x", "count": 0}, "count"),
        ({"prompt": "x", "count": -1}, "count"),
        ({"prompt": "x", "count": 10**9}, "count"),
        ({"prompt": "x", "count": "NaN"}, "count"),
        ({"prompt": "x", "count": True}, "count"),
        ({"prompt": "x", "seed": 2**64}, "seed"),
        ({"prompt": "x", "seed": 1.5}, "seed"),
        ({"prompt": "x", "seed": -1}, "seed"),
        ({"prompt": "x", "guidance_scale": "NaN"}, "guidance_scale"),
        ({"prompt": "x", "size": 64}, "size"),
    ],
)
def test_bad_parameters_are_named(artist: httpx.Client, params: dict[str, Any], field: str) -> None:
    answer = artist.post("/generations", json={"model": MODEL, "task": "text-to-image", "params": params})
    assert answer.status_code == 422 and is_problem(answer)
    assert field in [problem["loc"][-1] for problem in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b'{"model": "drawings-transformer", "task": "text-to-image", "params": {"prompt": "\\ud800"}}', {422}),
        (b'{"model": "drawings-transformer", "task": "text-to-image", "params": {"prompt": "x", "\\ud800": 1}}', {422}),
        (
            b'{"model": "drawings-transformer", "task": "text-to-image", '
            b'"params": {"prompt": "x", "temperature": NaN}}',
            {422},
        ),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {400, 422}),
        (b"not json", {422}),
        (b"", {422}),
        (b"[]", {422}),
        (b"\xff\xfe", {400, 422}),
        (json.dumps({"model": "x" * 300_000}).encode(), {413}),
        (json.dumps(request() | {"extra": 1}).encode(), {422}),
        (json.dumps(request() | {"inputs": {"image": "x"}}).encode(), {422}),
        (json.dumps(request() | {"model": "../../etc/passwd"}).encode(), {422}),
        (json.dumps(request() | {"model": "no-such-model"}).encode(), {404}),
        (json.dumps(request() | {"task": "music-generation"}).encode(), {404}),
    ],
    ids=range(14),
)
def test_bad_bodies_are_refused(artist: httpx.Client, body: bytes, statuses: set[int]) -> None:
    answer = artist.post("/generations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in statuses and is_problem(answer), answer.text


def test_a_body_without_a_length_is_bounded_too(artist: httpx.Client) -> None:
    def endless() -> Any:
        for _ in range(100):
            yield b" " * 65_536

    answer = artist.post("/generations", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_json_sent_as_text_is_refused(artist: httpx.Client) -> None:
    answer = artist.post("/generations", content=json.dumps(request()), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415 and is_problem(answer)


@pytest.mark.parametrize(
    "prompt", ["<script>alert(1)</script>", "{{7*7}}", "\u202egnihton\u202c", "a'\"&b", "'; DROP TABLE x"]
)
def test_odd_prompts_are_kept_exactly(artist: httpx.Client, prompt: str) -> None:
    assert submit(artist, prompt)["params"]["prompt"] == prompt


@pytest.mark.parametrize("query", ["limit=1000000000", "limit=0", "limit=x", "cursor=zzz", "cursor=%00", "q=%00"])
def test_bad_queries_are_refused(artist: httpx.Client, query: str) -> None:
    assert artist.get(f"/artworks?{query}").status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/artworks/not-an-id",
        "/artworks/%2e%2e%2f/file",
        "/static/%2e%2e%2fapp/main.py",
        "/static/..%5capp",
        "/static/../pyproject.toml",
        "/models/..%2f..%2fetc",
    ],
)
def test_paths_out_of_bounds_lead_nowhere(studio: Studio, artist: httpx.Client, path: str) -> None:
    url = f"{studio.url}{path}" if path.startswith("/static") else path
    assert artist.get(url).status_code in (404, 422)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("empty.png", b"", 422),
        ("page.png", b"<html></html>", 415),
        ("x.svg", b"<svg><script/></svg>", 415),
        ("cut.png", picture()[:60], 422),
        ("big.png", b"\x89PNG" + b"0" * (21 << 20), 413),
    ],
)
def test_bad_uploads_are_refused(artist: httpx.Client, name: str, content: bytes, status: int) -> None:
    answer = artist.post("/uploads", files={"file": (name, content)})
    assert answer.status_code == status and is_problem(answer)


def test_an_upload_is_kept_as_a_png_and_its_name_as_a_label(artist: httpx.Client, other: httpx.Client) -> None:
    answer = artist.post("/uploads", files={"file": ("../../x\r\n<b>.jpg", picture("JPEG"))})
    assert answer.status_code == 201
    found = answer.json()
    assert (found["width"], found["height"], found["media_type"]) == (30, 20, "image/png") and found["remark"] is None
    content = artist.get(f"/uploads/{found['id']}/file").content
    assert Image.open(io.BytesIO(content)).size == (30, 20)
    assert other.delete(f"/uploads/{found['id']}").status_code == 404
    assert artist.delete(f"/uploads/{found['id']}").status_code == 204
    assert artist.get(f"/uploads/{found['id']}/file").status_code == 404


def test_what_of_an_upload_is_not_kept_is_said(artist: httpx.Client) -> None:
    def told(form: str, size: tuple[int, int], **more: Any) -> str | None:
        buffer = io.BytesIO()
        Image.new("L", size).save(buffer, form, **more)
        answer = artist.post("/uploads", files={"file": ("a", buffer.getvalue())})
        assert answer.status_code == 201
        return answer.json()["remark"]  # type: ignore[no-any-return]

    assert told("PNG", (2048, 8)) is None
    assert told("JPEG", (8, 4096)) == "It was made smaller: 4 × 2048 pixels"
    frames = [Image.new("L", (8, 8), shade) for shade in (40, 80)]
    assert (
        told("GIF", (8, 8), save_all=True, append_images=frames) == "It is animated, and only its first frame was kept"
    )
    assert told("TIFF", (8, 8), save_all=True, append_images=frames) == "It has 3 pages, and only the first was kept"


# --- who may do what ------------------------------------------------------------------------------------------------


def routes() -> list[tuple[str, str]]:
    """(method, path) of everything the app answers."""
    found: list[tuple[str, str]] = []

    def walk(items: Any, prefix: str) -> None:
        for item in items:
            inner = getattr(item, "routes", None) or getattr(getattr(item, "original_router", None), "routes", None)
            own = getattr(item, "path", None) or getattr(getattr(item, "include_context", None), "prefix", "")
            path = prefix + own
            if getattr(item, "methods", None):
                found.extend((method, path) for method in item.methods if method != "HEAD")
            elif inner:
                walk(inner, path)

    walk(create_app().routes, "")
    return found


def test_every_route_but_the_open_ones_refuses_the_anonymous(studio: Studio) -> None:
    operations = {(method.upper(), path) for path, item in create_app().openapi()["paths"].items() for method in item}
    every = set(routes()) | operations
    assert len(every) >= 45
    with httpx.Client(base_url=studio.url) as anonymous:
        for method, path in sorted(every):
            if path in OPEN or path.startswith("/static"):
                continue
            answer = anonymous.request(
                method,
                re.sub(r"{\w+}", "01a20c3e-09f4-7000-b5bf-cb2e6284c016", path),
                json={} if path.startswith("/api") and method not in ("GET", "DELETE") else None,
            )
            refused = answer.status_code in (401, 415) or (
                answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
            )
            assert refused, (method, path, answer.status_code)


def test_admin_routes_refuse_artists(artist: httpx.Client, admin: httpx.Client) -> None:
    for path in ("/users", "/workers", "/queue"):
        assert artist.get(path).status_code == 403
        assert admin.get(path).status_code == 200
    assert artist.post("/users", json={"name": "x"}).status_code == 403
    worker = admin.get("/workers").json()["items"][0]
    assert worker["queue"] == "generation" and worker["memory_total"] > worker["memory_used"] > 0


@pytest.mark.parametrize("key", ["dq_", "dq_wrong", "Basic abc"])
def test_wrong_keys_are_refused(studio: Studio, key: str) -> None:
    answer = httpx.get(f"{studio.url}/api/v1/artworks", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 401 and is_problem(answer)


def test_a_revoked_truncated_or_differently_cased_key_is_refused(studio: Studio) -> None:
    client = studio.client("keyed")
    key = client.headers["authorization"].removeprefix("Bearer ")
    for bad in (key[:-1], key.swapcase(), key + "x"):
        assert httpx.get(f"{studio.url}/api/v1/users/me", headers={"Authorization": f"Bearer {bad}"}).status_code == 401
    identifier = client.get("/api-keys").json()["items"][0]["id"]
    assert client.delete(f"/api-keys/{identifier}").status_code == 204
    assert client.get("/users/me").status_code == 401


def test_a_key_gives_no_access_that_would_outlive_it(fresh_studio: Any) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    key = studio.client("boss", "admin")
    me = key.get("/users/me").json()["id"]
    for answer in (
        key.post("/users", json={"name": "backdoor", "password": "long enough", "role": "admin"}),
        key.patch(f"/users/{me}", json={"password": "long enough"}),
        key.post("/api-keys", json={"name": "more"}),
    ):
        assert answer.status_code == 403 and "sign in" in answer.json()["detail"], answer.text
    assert key.get("/users").status_code == 200
    assert studio.signed_in("boss").post("/api/v1/users", json={"name": "painter"}).status_code == 201


def test_a_stream_ends_with_the_right_to_read_it(studio: Studio) -> None:
    client = studio.client("watcher")
    identifier = client.get("/api-keys").json()["items"][0]["id"]
    submit(client, "something to watch")
    with client.stream("GET", "/events", timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert client.delete(f"/api-keys/{identifier}").status_code == 204
        deadline = time.monotonic() + 60
        for _ in lines:
            assert time.monotonic() < deadline, "the stream goes on"


def test_sessions_are_new_after_sign_in_and_end_with_sign_out_and_password_changes(studio: Studio) -> None:
    studio.run("user", "add", "sessions", text="correct horse\n")
    with studio.browserlike() as browser, studio.browserlike() as second:
        browser.cookies.set("danqing_session", "from-before", domain="127.0.0.1", path="/")
        for one in (browser, second):
            answer = one.post("/api/v1/sessions", json={"name": "Sessions", "password": "correct horse"})
            assert answer.status_code == 201
        flags = answer.headers["set-cookie"].lower()
        assert "httponly" in flags and "samesite=lax" in flags and "from-before" not in flags
        token = second.cookies["danqing_session"]
        changed = browser.post("/account/password", data={"current": "correct horse", "new": "battery staple"})
        assert changed.status_code == 200
        assert second.get("/api/v1/users/me").status_code == 401, "a password change ends other sessions"
        assert browser.get("/api/v1/users/me").status_code == 200
        token = browser.cookies["danqing_session"]
        assert browser.request("DELETE", "/api/v1/sessions/current").status_code == 204
        assert httpx.get(f"{studio.url}/api/v1/users/me", cookies={"danqing_session": token}).status_code == 401


def test_a_name_with_nul_is_only_wrong(studio: Studio) -> None:
    with studio.browserlike() as browser:
        assert browser.post("/api/v1/sessions", json={"name": "a\0b", "password": "x"}).status_code == 401


def test_a_tag_is_not_found_in_a_prompt(artist: httpx.Client) -> None:
    finished(artist, submit(artist, "tagless")["id"])
    assert artist.get("/artworks", params={"tag": "tagless"}).json()["items"] == []


def test_one_stream_tells_of_all_jobs(artist: httpx.Client) -> None:
    jobs = {submit(artist, f"streamed {i}", count=4)["id"] for i in range(3)}
    ended: set[str] = set()
    with artist.stream("GET", "/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if data.get("status") == "succeeded":
                    ended.add(data["generation"])
            if jobs <= ended:
                break
    assert jobs <= ended


def test_guessing_passwords_is_slowed_and_says_nothing_about_names(fresh_studio: Any) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    studio.run("user", "add", "victim", text="correct horse\n")
    with studio.browserlike() as browser:

        def guess(name: str) -> httpx.Response:
            return browser.post("/api/v1/sessions", json={"name": name, "password": "wrong"})

        assert guess("victim").json()["detail"] == guess("nobody").json()["detail"]
        answers = [guess("victim") for _ in range(20)]
    assert answers[0].status_code == 401 and answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Origin": "http://evil.example"}]
)
def test_other_sites_cannot_act_for_a_user(studio: Studio, artist: httpx.Client, headers: dict[str, str]) -> None:
    browser = studio.signed_in("artist")
    assert browser.post("/api/v1/generations", json=request(), headers=headers).status_code == 403
    answer = artist.post("/generations", json=request(), headers=headers)
    assert answer.status_code == 202, "a key is sent by whoever means to"
    artist.post(f"/generations/{answer.json()['id']}/cancellation")


def test_scripts_of_sites_that_a_setting_names_may_use_a_key(fresh_studio: Any) -> None:
    studio = fresh_studio(DANQING_CORS_ORIGINS="https://app.example")
    studio.start("valkey", "web")
    artist = studio.client("artist")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization,content-type"
    preflight = httpx.options(f"{studio.url}/api/v1/generations", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    answer = artist.get("/models", headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers, "never with a cookie"
    other = httpx.options(f"{studio.url}/api/v1/generations", headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_key_does_what_its_scopes_say_and_no_more(studio: Studio, artist: httpx.Client) -> None:
    key = studio.run("key", "add", "artist", "--scope", "read").stdout.strip()
    with httpx.Client(base_url=f"{studio.url}/api/v1", headers={"Authorization": f"Bearer {key}"}) as reader:
        assert reader.get("/artworks").status_code == 200
        refused = reader.post("/generations", json=request())
        assert refused.status_code == 403 and refused.json()["type"] == "urn:danqing:problem:missing-scope"
        chinese = reader.post("/generations", json=request(), headers={"Accept-Language": "zh-CN"})
        assert chinese.json()["type"] == refused.json()["type"] != chinese.json()["detail"] != refused.json()["detail"]


def test_errors_are_bounded_however_much_is_wrong(artist: httpx.Client) -> None:
    body = {**request(), **{f"field {i} {'x' * 500}": 1 for i in range(100)}}
    answer = artist.post("/generations", json=body)
    assert answer.status_code == 422 and len(answer.content) < 20_000
    assert len(answer.json()["errors"]) == 20 and answer.json()["errors_left_out"] == 80


def test_uploads_are_listed_and_bounded_by_a_quota(fresh_studio: Any) -> None:
    studio = fresh_studio(DANQING_MAX_STORAGE_MIB_PER_USER="1")
    studio.start("valkey", "web")
    artist = studio.client("artist")
    noise = [encoded_noise(seed) for seed in range(3)]
    answers = [artist.post("/uploads", files={"file": (f"{i}.png", each)}) for i, each in enumerate(noise)]
    assert [answer.status_code for answer in answers] == [201, 507, 507]
    assert answers[1].json()["type"] == "urn:danqing:problem:storage-quota"
    found = artist.get("/uploads").json()
    assert [each["label"] for each in found["items"]] == ["0.png"] and found["used_bytes"] == found["items"][0][
        "size_bytes"
    ]
    assert artist.delete(f"/uploads/{found['items'][0]['id']}").status_code == 204
    assert artist.post("/uploads", files={"file": ("again.png", noise[1])}).status_code == 201


def encoded_noise(seed: int) -> bytes:
    """A PNG of some 750 KB."""
    import random

    buffer = io.BytesIO()
    Image.frombytes("RGB", (512, 512), random.Random(seed).randbytes(512 * 512 * 3)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_foreign_host_is_refused(artist: httpx.Client) -> None:
    assert artist.get("/users/me", headers={"Host": "evil.example"}).status_code == 400


def test_the_first_admins_link_works_once(fresh_studio: Any) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    code = (
        "from app.database import session_scope; from app.users import service\n"
        "with session_scope() as s: print(service.create_link(s, None))"
    )
    import os
    import subprocess
    import sys

    token = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **studio.environment},
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    with studio.browserlike() as first, studio.browserlike() as second:
        assert first.get("/link/wrong").status_code == 403
        assert first.get(f"/link/{token}").status_code == 200
        assert first.post(f"/link/{token}", data={"name": "<b>"}).status_code == 422
        assert first.post(f"/link/{token}", data={"name": "Li"}).status_code == 303
        assert first.get("/api/v1/users/me").json()["role"] == "admin"
        assert second.post(f"/link/{token}", data={"name": "Eve"}).status_code == 409
        assert second.get(f"/link/{token}").status_code == 409


def test_users_are_managed_by_admins_and_one_admin_remains(fresh_studio: Any) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    studio.client("admin", "admin")
    admin = studio.signed_in("admin")
    users = "/api/v1/users"
    made = admin.post(users, json={"name": "Managed", "password": "long enough"}).json()
    assert admin.post(users, json={"name": "mANAGED"}).status_code == 409
    assert admin.patch(f"{users}/{made['id']}", json={"disabled": True}).json()["disabled_at"]
    me = admin.get(f"{users}/me").json()["id"]
    assert admin.patch(f"{users}/{me}", json={"role": "artist"}).status_code == 409
    assert admin.patch(f"{users}/{me}", json={"disabled": True}).status_code == 409


# --- the contract itself --------------------------------------------------------------------------------------------


def described(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_the_openapi_document_is_valid_and_has_examples(artist: httpx.Client) -> None:
    document = artist.get("/openapi.json").json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert document["components"]["schemas"]["GenerationIn"]["examples"]
    submit = document["paths"]["/api/v1/generations"]["post"]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert submit["responses"]["default"]["content"] == submit["responses"]["429"]["content"] == problem
    assert "422" not in submit["responses"] and submit["security"] == [{"key": []}, {"session": []}]
    assert document["paths"]["/api/v1/sessions"]["post"]["security"] == []
    jsonschema.validate(artist.post("/generations", json={"model": 1}).json(), described(document, "Problem"))
    assert all(operation.get("summary") for item in document["paths"].values() for operation in item.values())


def test_models_say_what_their_tasks_take(artist: httpx.Client) -> None:
    models = {model["name"]: model for model in artist.get("/models").json()["items"]}
    faces = models["pixel-faces"]["tasks"]
    assert [each["name"] for each in faces] == [
        "unconditional-image-generation",
        "image-variation",
        "image-interpolation",
    ]
    assert faces[2]["images"] == {"least": 2, "most": 4} and faces[2]["live"]
    tasks = models[MODEL]["tasks"]
    assert [each["name"] for each in tasks] == [
        "text-to-image",
        "image-to-image",
        "image-variation",
        "inpainting",
        "outpainting",
    ]
    task = tasks[0]
    assert task["name"] == "text-to-image" and not task["live"]
    assert task["params"]["properties"]["prompt"]["maxLength"] == 500
    assert task["params"]["additionalProperties"] is False


def test_health_readiness_and_metrics(studio: Studio, artist: httpx.Client, admin: httpx.Client) -> None:
    finished(artist, submit(artist, "counted")["id"])
    assert httpx.get(f"{studio.url}/healthz").json() == {"status": "ok"}
    ready = httpx.get(f"{studio.url}/readyz").json()
    assert ready["status"] == "ready" and set(ready["parts"].values()) == {"ok"}
    refused = httpx.get(f"{studio.url}/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    assert refused.status_code == 403, "not even from this machine, unless a setting says so"
    metrics = httpx.get(f"{studio.url}/metrics", headers={"Authorization": admin.headers["Authorization"]}).text
    assert 'danqing_jobs{queue="generation",status="succeeded"}' in metrics
    assert 'danqing_oldest_queued_seconds{queue="generation"} 0.0' in metrics
    assert "danqing_worker_memory_bytes{" in metrics and "danqing_worker_claimed_timestamp_seconds{" in metrics
    assert 'route="/api/v1/generations"' in metrics


def test_probes_by_address_are_answered_whatever_their_host(studio: Studio) -> None:
    for path in ("/healthz", "/readyz"):
        assert httpx.get(f"{studio.url}{path}", headers={"Host": "10.1.2.3:8000"}).status_code == 200
    assert httpx.get(f"{studio.url}/sign-in", headers={"Host": "10.1.2.3:8000"}).status_code == 400


def test_metrics_are_for_the_networks_of_the_setting_whatever_headers_say(fresh_studio: Any) -> None:
    studio = fresh_studio(DANQING_METRICS_FROM="127.0.0.0/8", DANQING_TRUSTED_PROXIES="127.0.0.1")
    studio.start("web")
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    assert httpx.get(f"{studio.url}/metrics", headers=forwarded).status_code == 200, "the peer counts"
    other = fresh_studio(DANQING_METRICS_FROM="10.0.0.0/8")
    other.start("web")
    assert httpx.get(f"{other.url}/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403


def test_a_proxy_that_is_not_trusted_is_told_in_the_log_and_locks_nobody_out(fresh_studio: Any) -> None:
    studio = fresh_studio(DANQING_TRUSTED_PROXIES="10.0.0.1")
    studio.start("valkey", "web")
    studio.client("artist")

    def sign_in(visitor: str, password: str) -> int:
        given = {"name": f"somebody {visitor}" if password == "wrong" else "artist", "password": password}
        headers = {"X-Forwarded-For": visitor}
        return httpx.post(f"{studio.url}/api/v1/sessions", json=given, headers=headers, timeout=30).status_code

    assert {sign_in("203.0.113.1", "wrong") for _ in range(12)} == {401, 429}
    assert sign_in("203.0.113.2", PASSWORD) == 201, "one visitor's tries are not another's"
    assert studio.log("web").count("proxy_not_trusted") == 1


def test_logs_carry_the_requests_id_to_the_worker(studio: Studio, artist: httpx.Client) -> None:
    answer = artist.post(
        "/generations", json=request("traced"), headers={"X-Request-Id": "trace-1", "Prefer": "wait=60"}
    )
    assert answer.headers["x-request-id"] == "trace-1"
    wait_until(
        "the worker says that the batch is done",
        lambda: any("trace-1" in line and "batch_done" in line for line in studio.log("worker").splitlines()),
    )
    wait_until(  # which it does when the answer is on its way
        "the web process says what it has answered",
        lambda: any(
            json.loads(line).get("request") == "trace-1" for line in studio.log("web").splitlines() if line[0] == "{"
        ),
    )


def test_the_quota_answers_with_when_to_come_back(fresh_studio: Any) -> None:
    studio = fresh_studio(DANQING_MAX_QUEUED_PER_USER="2")
    studio.start("valkey", "web")
    client = studio.client("greedy")
    for _ in range(2):
        submit(client)
    answer = client.post("/generations", json=request())
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/api/v1/uploads", "/api/v1/generations"])
def test_a_client_that_goes_away_is_no_error_of_ours(fresh_studio: Any, path: str) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web")
    client = studio.client("artist")
    kind, beginning = "application/json", b'{"model": '
    if path.endswith("uploads"):
        kind = "multipart/form-data; boundary=x"
        beginning = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nhalf'
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nAuthorization: {client.headers['Authorization']}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", studio.port)) as connection:
        connection.sendall(head.encode() + beginning)
        time.sleep(0.5)
    line = wait_until(
        "the log to say so",
        lambda: next(
            (line for line in studio.log("web").splitlines() if line[:1] == "{" and f'"path": "{path}"' in line),
            None,
        ),
    )
    assert json.loads(line)["status"] == 499
    assert "Traceback" not in studio.log("web") and "error" not in json.loads(line)["level"]


def test_one_user_has_so_many_live_streams_and_no_more(fresh_studio: Any) -> None:
    studio = fresh_studio(DANQING_MAX_STREAMS_PER_USER="2")
    studio.start("valkey", "web")
    client, other = studio.client("artist"), studio.client("other")
    with client.stream("GET", "/events") as first:
        assert first.status_code == 200
        with client.stream("GET", "/events") as second, other.stream("GET", "/events") as others:
            assert second.status_code == others.status_code == 200
            refused = client.get("/events")
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0

        def again() -> bool:
            with client.stream("GET", "/events") as third:
                return third.status_code == 200

        wait_until("a place to be free again", again)


def test_a_second_tab_hears_of_a_job_that_was_asked_for_in_the_first(fresh_studio: Any) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    client = studio.client("artist")
    finished(client, submit(client)["id"])
    with client.stream("GET", "/events", timeout=60) as stream:
        lines = stream.iter_lines()
        job = submit(client, "a fox")["id"]
        seen = []
        for line in lines:
            if line.startswith("data: ") and job in line:
                event = json.loads(line.removeprefix("data: "))
                seen.append(event.get("status", event["type"]))
                if seen[-1] == "succeeded":
                    break
    assert "running" in seen and seen[-1] == "succeeded"


def test_a_key_is_no_session_and_a_session_no_key(studio: Studio, artist: httpx.Client) -> None:
    """Also within the second in which each has just been shown where it belongs."""
    key = artist.headers["Authorization"].removeprefix("Bearer ")
    browser = studio.signed_in("artist")
    token = browser.cookies["danqing_session"]
    assert artist.get("/users/me").status_code == 200 and browser.get("/account").status_code == 200
    assert httpx.get(f"{studio.url}/account", cookies={"danqing_session": key}).status_code == 303
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{studio.url}/api/v1/users/me", headers=headers).status_code == 401
