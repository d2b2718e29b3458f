"""The studio under a path of its host, from the sign-in to a work: nothing that a page asks for is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import Browser, expect

from tests.browser.pages import follow
from tests.studio import PASSWORD, Studio

UNDER = "/art/studio"


def test_a_studio_under_a_path_is_used_as_any_other(browser: Browser, fresh_studio: Callable[..., Studio]) -> None:
    studio = fresh_studio()
    home = f"{studio.url}{UNDER}"
    studio.start("valkey", "web", "worker", DANQING_URL=home)
    studio.run("user", "add", "painter", "--role", "admin", text=f"{PASSWORD}\n")
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(60_000)
    page, asked, problems = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

    page.goto(f"{home}/create")
    expect(page).to_have_url(f"{home}/sign-in?next=/create")
    page.get_by_label("Name").fill("painter")
    page.get_by_label("Password").fill(PASSWORD)
    follow(page.get_by_role("button", name="Sign in"))
    expect(page).to_have_url(f"{home}/create")
    assert {(cookie["name"], cookie["path"]) for cookie in context.cookies()} == {("danqing_session", f"{UNDER}/")}
    page.get_by_label("Prompt", exact=True).fill("a red fox")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator(".works .blank img")).to_be_visible()  # the live preview
    work = page.locator(".works a")
    expect(work.locator("img")).to_be_visible()
    follow(work)
    follow(page.get_by_role("link", name="More like this"))
    expect(page.locator(".chosen li")).to_have_count(1)
    follow(page.get_by_role("button", name="简体中文"))
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    for place in ("", "models", "datasets", "train/new", "admin", "docs"):
        page.goto(f"{home}/{place}", wait_until="networkidle")
    context.close()
    assert problems == []
    outside = [url for url in asked if url.startswith("http") and not urlsplit(url).path.startswith(f"{UNDER}/")]
    assert outside == [] and len(asked) > 30
