"""A signed-in browser page that fails its test on any script error or policy violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.studio import Studio

expect.set_options(timeout=60_000)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def signed_in(browser: Browser, studio: Studio) -> Any:
    """Cookies of an admin."""
    studio.run("user", "add", "painter", "--role", "admin", text="correct horse\n")
    context = browser.new_context(base_url=studio.url)
    page = context.new_page()
    page.goto("/create")
    page.get_by_label("Name").fill("painter")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/create")
    state = context.storage_state()
    context.close()
    return state


def problem_of(message: ConsoleMessage, expected: str) -> list[str]:
    told = message.type == "error" and expected not in message.text
    return [f"{message.text} {message.location['url']}"] if told else []


@pytest.fixture
def open_page(browser: Browser, studio: Studio, signed_in: Any) -> Iterator[Callable[..., Page]]:
    """`open_page(locale=..., viewport=...)` gives a page; no error but an `expected` one may be in its console."""
    contexts, problems = [], []

    def make(anonymous: bool = False, expected: str = "nothing", **options: Any) -> Page:
        context = browser.new_context(
            base_url=studio.url, storage_state=None if anonymous else signed_in, **{"locale": "en-US", **options}
        )
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.extend(problem_of(message, expected)))
        return page

    yield make
    for context in contexts:
        context.close()
    rest = browser.new_context(base_url=studio.url, storage_state=signed_in)
    cancel_rest(rest.request)
    rest.close()
    assert not problems, problems


def cancel_rest(api: APIRequestContext) -> None:
    """No test waits for what an earlier one asked for."""
    left = [
        job["id"]
        for status in ("queued", "running")
        for job in api.get("/api/v1/generations", params={"status": status}).json()["items"]
    ]
    if left:
        answer = api.post("/api/v1/generations/cancellations", data={"ids": left})
        assert answer.ok, answer.text()
