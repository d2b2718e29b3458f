"""Steps that several browser tests take."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect


def follow(link: Locator, key: str | None = None) -> None:
    """Click, or press a key, and wait until the next page is whole, with its scripts: they listen from then on."""
    with link.page.expect_navigation():
        if key:
            link.press(key)
        else:
            link.click()


def press_draw(page: Page) -> Locator:
    """Returns the card of the job that it makes: those of other tests may be shown."""
    with page.expect_response(
        lambda found: found.request.method == "POST" and found.url.endswith("/generations")
    ) as answer:
        page.get_by_role("button", name="Draw", exact=True).click()
    return page.locator(f".job[data-job='{answer.value.json()['id']}']")


def draw(page: Page, prompt: str, count: int = 1) -> Any:
    """Submit with Enter; returns the newest job's card."""
    page.goto("/create")
    page.get_by_label("Count").fill(str(count))
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Prompt", exact=True).press("Enter")
    card = page.locator(".job").first
    expect(card.locator(".prompt")).to_have_text(prompt)
    return card
