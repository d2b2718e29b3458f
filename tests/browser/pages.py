"""Steps that several browser tests take."""

from __future__ import annotations

from playwright.sync_api import Locator


def follow(link: Locator, key: str | None = None) -> None:
    """Click, or press a key, and wait until the next page is whole, with its scripts: they listen from then on."""
    with link.page.expect_navigation():
        if key:
            link.press(key)
        else:
            link.click()
