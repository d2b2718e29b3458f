"""What the pages' routes do for a browser, and for what is none."""

from __future__ import annotations

import httpx
import pytest

from tests.studio import PASSWORD, Studio, submit


@pytest.fixture(scope="module")
def browser(studio: Studio, artist: httpx.Client) -> httpx.Client:
    return studio.signed_in("artist")


def test_a_key_opens_no_page(studio: Studio, artist: httpx.Client) -> None:
    """A page makes keys and sets passwords: who has found a key must not outlive its revocation."""
    header = {"Authorization": artist.headers["authorization"]}
    for path, form in (("/account/keys", {"name": "mine"}), ("/account/password", {"new": "another horse"})):
        assert httpx.post(f"{studio.url}{path}", data=form, headers=header).status_code == 401
    assert httpx.get(f"{studio.url}/account", headers=header).status_code == 303
    assert not [key for key in artist.get("/api-keys").json()["items"] if key["name"] == "mine"]


def test_another_scheme_before_the_studio_does_not_lock_a_browser_out(browser: httpx.Client) -> None:
    header = {"Authorization": "Basic cHJveHk6cHJveHk="}
    assert browser.get("/account", headers=header).status_code == 200
    assert browser.get("/api/v1/users/me", headers=header).status_code == 200


def test_signing_in_leads_to_the_very_page_that_was_asked_for(studio: Studio) -> None:
    for query in ("q=red+fox&studio=true", "q=%E7%8C%AB", "q=" + "%E7%8C%AB" * 100):
        with studio.browserlike() as one:
            asked = one.get(f"/?{query}")
            assert asked.status_code == 303
            form = one.get(asked.headers["location"])
            assert form.status_code == 200
            next_page = httpx.URL(asked.headers["location"]).params["next"]
            answer = one.post("/sign-in", data={"name": "artist", "password": PASSWORD, "next": next_page})
            assert answer.status_code == 303 and answer.headers["location"] == f"/?{query}"


def test_the_language_switch_comes_back_to_the_page(browser: httpx.Client) -> None:
    page = browser.get("/", params={"studio": "true", "q": "fox"}).text
    assert 'name="next" value="/?studio=true&amp;q=fox"' in page
    answer = browser.post("/account/keys", data={"name": "for a script"}).text
    assert 'name="next" value="/account"' in answer, "and not to the address of a form, which shows nothing"


def test_an_address_that_takes_no_get_is_a_page(browser: httpx.Client) -> None:
    answer = browser.get("/account/keys")
    assert answer.status_code == 405 and answer.headers["content-type"].startswith("text/html")


def test_a_search_stays_within_its_tab(browser: httpx.Client) -> None:
    page = browser.get("/", params={"trashed": "true", "tag": "blue"}).text
    assert '<input type="hidden" name="trashed" value="true">' in page
    assert '<input type="hidden" name="tag" value="blue">' in page


def test_problems_of_fields_are_said_in_the_language(artist: httpx.Client) -> None:
    body = {"model": "pixel-faces", "task": "unconditional-image-generation", "params": {"truncation": 9, "count": "x"}}
    answer = artist.post("/generations", json=body, headers={"Accept-Language": "zh-CN"})
    said = {problem["loc"][-1]: problem["msg"] for problem in answer.json()["errors"]}
    assert answer.status_code == 422
    assert said == {"truncation": "应小于或等于 4", "count": "应为整数"}


def test_a_name_that_may_not_be_is_refused_in_words(studio: Studio, admin: httpx.Client) -> None:
    answer = studio.signed_in("admin").post("/datasets", data={"name": "a/b\u0007"})
    assert answer.status_code == 422 and "Some of its characters are not allowed" in answer.text


def test_every_job_that_has_not_ended_can_be_seen_and_cancelled(fresh_studio: object) -> None:
    studio: Studio = fresh_studio()  # type: ignore[operator]
    studio.start("valkey", "web")
    client = studio.client("busy")
    jobs = [submit(client)["id"] for _ in range(15)]
    page = studio.signed_in("busy").get("/create").text
    assert all(f'data-job="{job}"' in page for job in jobs)
