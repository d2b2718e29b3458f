"""Grids in a real browser: asked for on the create page, followed cell by cell, saved as one picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.app.test_datasets import drawing
from tests.browser.pages import follow
from tests.browser.test_datasets import violations

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def open_options(page: Page) -> None:
    page.locator("#grid summary").click()


@pytest.mark.parametrize("width", [1366, 360])
def test_two_settings_make_a_grid_that_is_saved_as_one_picture(open_page: Open, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    page.goto("/create?model=drawings-transformer")
    page.get_by_label("Prompt", exact=True).fill("a red heart")
    open_options(page)
    page.get_by_label("Columns").select_option("Temperature")
    values = page.get_by_label("Values, one a line")
    expect(values.first).to_have_value("0.1\n0.75\n1.35\n2")
    values.first.fill("0.8\n1.2")
    page.get_by_label("Rows").select_option("Prompt")
    values.nth(1).fill("a red heart\n一只猫")
    expect(page.get_by_text("4 works")).to_be_visible()
    follow(page.get_by_role("button", name="Draw", exact=True))
    expect(page).to_have_url(re.compile("/grids/"))
    expect(page.locator("td [data-work]")).to_have_count(4)
    assert page.locator("tbody th").all_inner_texts() == ["a red heart", "一只猫"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as one picture").click()
    with Image.open(saved.value.path()) as picture:
        assert picture.width > 2 * 256 and picture.height > 2 * 256
        cell = picture.convert("L").crop(
            (picture.width - 264, picture.height - 264, picture.width - 8, picture.height - 8)
        )
        assert cell.getextrema()[0] < 200, "the last cell is drawn"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not violations(page)
    page.goto("/grids")
    expect(page.get_by_role("heading", name="Drawings", exact=True).first).to_be_visible()
    assert not violations(page)
    page.goto("/create?model=drawings-transformer")
    expect(page.locator('[data-job][data-status="queued"]')).to_have_count(0)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red heart")
    open_options(page)
    expect(page.get_by_label("Columns")).to_have_value("")  # who comes back does not draw another grid unawares


def test_what_is_folded_counts_for_nothing_and_lines_end_with_enter(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.goto("/create?model=emoji-mixing&task=image-variation")
    (tmp_path / "a.png").write_bytes(drawing(45))
    page.locator("[data-files]").set_input_files([tmp_path / "a.png"])
    expect(page.locator(".chosen li")).to_have_count(1)
    open_options(page)
    page.get_by_label("Columns").select_option("Strength")
    values = page.get_by_label("Values, one a line").first
    values.fill("0.1")
    values.press("End")
    values.press("Enter")
    values.press_sequentially("0.9")
    expect(values).to_have_value("0.1\n0.9")
    expect(page.get_by_text("2 works")).to_be_visible()
    open_options(page)
    with page.expect_response(lambda answer: answer.url.endswith("/generations")) as asked:
        page.get_by_role("button", name="Draw", exact=True).click()
    assert asked.value.status == 202


def test_pictures_go_into_one_row_each_apart(open_page: Open, tmp_path: Path) -> None:
    page = open_page(expected="422")
    page.goto("/create?model=emoji-mixing&task=image-variation")
    for i in (41, 42, 43):
        (tmp_path / f"{i}.png").write_bytes(drawing(i))
    open_options(page)
    page.get_by_label("Columns").select_option("Strength")
    page.get_by_label("Values, one a line").first.fill("0.1\nmuch")
    page.get_by_label("Rows").select_option(value="role:image")
    page.locator("[data-files]").set_input_files(sorted(tmp_path.iterdir()))
    expect(page.locator(".chosen li")).to_have_count(3)
    expect(page.get_by_text("6 works")).to_be_visible()
    with page.expect_response(lambda answer: answer.url.endswith("/grids")) as refused:
        page.get_by_role("button", name="Draw", exact=True).click()
    assert refused.value.status == 422
    expect(page.locator('[data-error="strength"]')).not_to_be_empty()
    page.get_by_label("Values, one a line").first.fill("0.1\n0.9")
    follow(page.get_by_role("button", name="Draw", exact=True))
    expect(page.locator("td [data-work]")).to_have_count(6)
    expect(page.locator("tbody th img")).to_have_count(3)
    page.get_by_role("button", name="Delete grid").click()
    expect(page).to_have_url(re.compile("/grids$"))
