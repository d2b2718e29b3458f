"""Behind proxies: under a path, with the host handed on in one way or another, and through a real nginx."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image

from tests.studio import PASSWORD, ROOT, Studio, finished, free_port, wait_until

SIGN_IN = {"name": "artist", "password": PASSWORD}
LINKS = re.compile(r"""(?:href|src|action|hx-get|data-film)=["'](/[^"']*)""")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(tmp_path_factory.mktemp("proxied"))
    made.start("valkey", "web", "worker")
    made.client("artist", "admin")
    yield made
    made.stop()


@contextmanager
def behind(studio: Studio, **headers: str) -> Iterator[httpx.Client]:
    """What a proxy on this machine sends for a browser that is signed in."""
    with httpx.Client(base_url=studio.url, headers=headers, timeout=60) as client:
        client.headers["Origin"] = f"https://{headers['X-Forwarded-Host']}"
        answer = client.post("/api/v1/sessions", json=SIGN_IN)
        assert answer.status_code == 201, answer.text
        yield client


PAGES = (
    "/",
    "/create",
    "/models",
    "/models/drawings-transformer",
    "/datasets",
    "/train",
    "/train/new",
    "/admin",
    "/account",
    "/docs",
)
PROXIED = {"X-Forwarded-Host": "art.example", "X-Forwarded-Prefix": "/studio"}
FOX = {"model": "drawings-transformer", "task": "text-to-image", "params": {"prompt": "a fox", "count": 2}}


def test_every_link_redirect_and_cookie_is_under_the_path_that_the_proxy_names(studio: Studio) -> None:
    with behind(studio, **PROXIED) as browser:
        cookie = browser.cookies.jar
        assert {each.path for each in cookie} == {"/studio/"}
        browser.headers["Cookie"] = "; ".join(f"{each.name}={each.value}" for each in cookie)  # its path is taken off
        made = browser.post("/api/v1/generations", json=FOX)
        assert made.headers["location"] == f"/studio/api/v1/generations/{made.json()['id']}"
        for page in PAGES:
            answer = browser.get(page)
            assert answer.status_code == 200, page
            links = LINKS.findall(answer.text)
            assert links and not [link for link in links if not link.startswith("/studio/")], page
            assert 'data-base="/studio"' in answer.text
        assert browser.get("/api/v1/openapi.json").json()["servers"] == [{"url": "/studio"}]
    with httpx.Client(base_url=studio.url, headers={"X-Forwarded-Prefix": "/studio"}) as anonymous:
        refused = anonymous.get("/create?model=x")
        assert refused.headers["location"] == "/studio/sign-in?next=/create%3Fmodel%3Dx"
        signed_in = anonymous.post("/sign-in", data={**SIGN_IN, "next": "/models"})
        assert signed_in.status_code == 303 and signed_in.headers["location"] == "/studio/models"


def test_the_path_may_be_left_on_and_a_prefix_that_is_none_is_passed_over(studio: Studio) -> None:
    prefix = {"X-Forwarded-Prefix": "/a/b"}
    assert httpx.get(f"{studio.url}/a/b/sign-in", headers=prefix).status_code == 200
    assert httpx.get(f"{studio.url}/a/bc/sign-in", headers=prefix).status_code == 404
    for wrong in ("studio", "//evil.example", "/a b", "/../x", '/"onload="', "https://evil.example/"):
        page = httpx.get(f"{studio.url}/sign-in", headers={"X-Forwarded-Prefix": wrong}).text
        assert 'data-base=""' in page, wrong


def test_a_path_is_a_setting_too(fresh_studio: Callable[..., Studio]) -> None:
    studio = fresh_studio(DANQING_URL="https://art.example.org/studio/")
    studio.start("valkey", "web")
    studio.run("user", "add", "artist", text=f"{PASSWORD}\n")
    assert studio.run("user", "link", "artist").stdout.startswith("https://art.example.org/studio/link/")
    page = httpx.get(f"{studio.url}/studio/sign-in", headers={"Host": "art.example.org"})
    assert page.status_code == 200 and 'action="/studio/sign-in"' in page.text
    given = {"Host": "127.0.0.1", "Origin": "https://art.example.org", "Sec-Fetch-Site": "same-origin"}
    answer = httpx.post(f"{studio.url}/api/v1/sessions", json=SIGN_IN, headers=given)
    assert answer.status_code == 201, "the address of the setting is this site, whatever Host says"


def test_the_host_may_come_as_forwarded_host_alone(studio: Studio) -> None:
    for host in ("art.example", "art.example:8443"):
        with behind(studio, **{"X-Forwarded-Host": host, "Sec-Fetch-Site": "same-origin"}):
            pass
    headers = {"Origin": "https://art.example:8443", "X-Forwarded-Host": "art.example", "X-Forwarded-Port": "8443"}
    assert httpx.post(f"{studio.url}/api/v1/sessions", json=SIGN_IN, headers=headers).status_code == 201


def test_a_proxy_that_hands_on_no_host_is_told_so(studio: Studio) -> None:
    headers = {"Origin": "https://art.example", "Sec-Fetch-Site": "same-origin"}
    refused = httpx.post(f"{studio.url}/api/v1/sessions", json=SIGN_IN, headers=headers)
    assert refused.status_code == 403 and "X-Forwarded-Host" in refused.json()["detail"]
    foreign = httpx.post(f"{studio.url}/api/v1/sessions", json=SIGN_IN, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403 and foreign.json()["detail"] == "This request came from another site"


def test_a_stranger_forwards_nothing(fresh_studio: Callable[..., Studio]) -> None:
    studio = fresh_studio(DANQING_TRUSTED_PROXIES="10.0.0.1")
    studio.start("valkey", "web")
    studio.run("user", "add", "artist", text=f"{PASSWORD}\n")
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "Origin": "https://evil.example"}
    assert httpx.post(f"{studio.url}/api/v1/sessions", json=SIGN_IN, headers=headers).status_code == 403
    assert 'data-base=""' in httpx.get(f"{studio.url}/sign-in", headers=headers).text


@pytest.fixture(scope="module")
def nginx(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The configuration of the guide, with other ports."""
    binary = shutil.which("nginx")
    if binary is None:
        pytest.skip("there is no nginx on this machine")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    site = (ROOT / "docs" / "guides" / "nginx.conf").read_text("utf-8")
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{studio.port}").replace("listen 80;", f"listen 127.0.0.1:{port};")
    places = "".join(
        f"{what}_temp_path {folder / what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = (
        f"pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{site}}}\n"
    )
    (folder / "nginx.conf").write_text(config, "utf-8")
    process = subprocess.Popen(
        [binary, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    )
    url = f"http://127.0.0.1:{port}/studio"
    wait_until("nginx", lambda: httpx.get(f"{url}/healthz").status_code == 200)
    yield url
    process.terminate()
    process.wait(timeout=30)


def test_through_nginx_one_signs_in_draws_live_and_uploads_large_pictures(nginx: str) -> None:
    origin = nginx.removesuffix("/studio")
    with httpx.Client(base_url=f"{nginx}/api/v1/", headers={"Origin": origin}, timeout=120) as client:
        answer = client.post("sessions", json=SIGN_IN)
        assert answer.status_code == 201, answer.text
        page = client.get(f"{nginx}/create")
        assert page.status_code == 200
        scripts = re.findall(r'src="(/studio/static/js/[^"]+)"', page.text)
        assert scripts and all(client.get(f"{origin}{script}").status_code == 200 for script in scripts)
        with client.stream("GET", "events") as events:
            made = client.post("generations", json=FOX)
            assert made.status_code == 202
            seen = set()
            for line in events.iter_lines():
                seen.add(line) if line.startswith("event:") else None
                if "succeeded" in line:
                    break
        assert {"event: status", "event: progress"} <= seen, "before the stream has ended"
        works = finished(client, made.json()["id"])["artworks"]
        assert client.get(f"artworks/{works[0]['id']}/file").content.startswith(b"\x89PNG")
        noise = Image.effect_noise((2300, 2300), 80).convert("RGB")
        buffer = io.BytesIO()
        noise.save(buffer, "PNG", compress_level=0)
        assert 15 << 20 < buffer.tell() < 20 << 20
        sent = client.post("uploads", files={"file": ("large.png", buffer.getvalue())})
        assert sent.status_code == 201, sent.text
