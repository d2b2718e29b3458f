"""The gallery: lists, many works at once, the viewer, the trash, in a real browser."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.pages import draw, follow
from tests.studio import ROOT, request

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
AXE = ROOT / "static" / "vendor" / "axe.min.js"


def works(page: Page, prompt: str, count: int) -> list[str]:
    """Ids of new works, the newest first."""
    answer = page.request.post("/api/v1/generations", data=request(prompt, count=count), headers={"Prefer": "wait=60"})
    assert answer.status == 201, answer.text()
    return [work["id"] for work in reversed(answer.json()["artworks"])]


def ids(page: Page) -> list[str]:
    return [str(card.get_attribute("data-id")) for card in page.locator(".card:visible").all()]


def choose(page: Page, *numbers: int) -> None:
    for number in numbers:
        page.locator(".card:not([hidden]) .pick input").nth(number).check()


# --- lists ----------------------------------------------------------------------------------------------------------


def test_what_others_show_is_looked_at_in_the_viewer(open_page: Open) -> None:
    page = open_page()
    (work,) = works(page, "a shown heron", 1)
    assert page.request.patch(f"/api/v1/artworks/{work}", data={"visibility": "studio"}).ok
    page.goto("/?studio=true&q=shown")
    card = page.locator(f'.card[data-id="{work}"]')
    card.hover()
    page.keyboard.press(" ")
    expect(page.locator(".pswp")).to_be_visible()


def test_the_gallery_scrolls_without_end_and_searches_as_one_types(open_page: Open) -> None:
    page = open_page()
    for number in range(4):
        card = draw(page, f"many {number}", count=16)
    expect(card.locator(".works a img")).to_have_count(16)
    page.goto("/?q=many")
    expect(page.locator(".card")).to_have_count(48)
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".card")).to_have_count(64)
    page.get_by_role("searchbox").fill("many 3")
    expect(page.locator(".card")).to_have_count(16)
    assert "q=many+3" in page.url or "q=many%203" in page.url
    page.get_by_role("searchbox").fill("no such thing")
    expect(page.get_by_text("No works match your search.")).to_be_visible()


def test_a_search_stays_in_its_tab_and_a_model_is_chosen_at_once(open_page: Open) -> None:
    page = open_page()
    page.goto("/?favourite=true")
    page.get_by_role("searchbox").fill("nothing like it")
    page.wait_for_url("**favourite=true**")
    page.wait_for_url("**q=nothing**")
    page.goto("/?q=fox")
    page.get_by_label("Model").select_option("pixel-faces")
    page.wait_for_url("**model=pixel-faces**")
    expect(page.locator(".card")).to_have_count(0)


def test_a_search_after_the_session_has_ended_leads_to_the_sign_in(open_page: Open) -> None:
    page = open_page(expected="401")
    page.goto("/")
    page.context.clear_cookies()
    page.get_by_role("searchbox").fill("fox")
    page.wait_for_url("**/sign-in?next=**")
    expect(page.locator("header")).to_have_count(1)


def test_a_list_goes_from_either_end_and_from_day_to_day(open_page: Open) -> None:
    page = open_page(timezone_id="Asia/Tokyo")
    newest = works(page, "a dated kite", 3)
    page.goto("/?q=dated")
    assert ids(page) == newest
    page.get_by_label("Order").select_option("oldest")
    page.wait_for_url("**order=oldest**")
    expect(page.locator(".card").first).to_have_attribute("data-id", newest[-1])
    page.get_by_text("Dates").click()
    today = datetime.fromisoformat(page.evaluate("new Date(Date.now() + 9 * 3600e3).toISOString().slice(0, 10)"))
    page.get_by_label("From").fill(str((today + timedelta(days=1)).date()))
    expect(page.locator(".card")).to_have_count(0)
    page.get_by_label("From").fill(str(today.date()))
    page.get_by_label("Through").fill(str(today.date()))
    expect(page.locator(".card")).to_have_count(3)
    assert "zone=Asia%2FTokyo" in page.url and "model=" not in page.url


def test_whoever_comes_back_finds_the_gallery_where_it_was(open_page: Open) -> None:
    page = open_page()
    for number in range(7):
        works(page, f"a placed kite {number}", 16)
    page.goto("/?q=placed")
    for count in (96, 112):
        page.mouse.wheel(0, 50_000)
        expect(page.locator(".card")).to_have_count(count)
    card = page.locator(".card").nth(100)
    identifier = card.get_attribute("data-id")
    card.scroll_into_view_if_needed()
    follow(card.locator("a"))
    page.go_back()
    expect(page.locator(".card")).to_have_count(112)
    expect(page.locator(f".card[data-id='{identifier}']")).to_be_in_viewport()


def test_a_work_has_the_neighbours_of_the_list_it_was_opened_from(open_page: Open) -> None:
    page = open_page()
    first = works(page, "a neighbouring kite", 2)
    works(page, "something else", 1)
    second = works(page, "a neighbouring kite", 1)
    page.goto("/?q=neighbouring")
    follow(page.locator(".card a").first)
    expect(page.locator(".turn.left")).to_have_count(0)
    for identifier in first:
        follow(page.locator(".turn.right"))
        assert f"/artworks/{identifier}?q=neighbouring" in page.url
    expect(page.locator(".turn.right")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/artworks/{first[0]}?**")
    assert second[0] not in page.url


# --- many at once ---------------------------------------------------------------------------------------------------


def test_many_works_are_tagged_favoured_downloaded_and_trashed_at_once(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    made = works(page, "a chosen kite", 6)
    page.goto("/?q=chosen")
    choose(page, 1)
    page.locator(".card a").nth(4).click(modifiers=["Shift"])
    selection = page.locator("#selection")
    expect(selection.locator("output")).to_have_text("4 selected")
    page.locator(".card a").nth(4).click()
    expect(selection.locator("output")).to_have_text("3 selected")
    selection.get_by_role("button", name="Tag").click()
    page.get_by_label("Tags, separated by commas").fill("winged，天空")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#said")).to_contain_text("3 tagged")
    for tag in ("winged", "天空"):
        found = page.request.get("/api/v1/artworks", params={"tag": tag}).json()["items"]
        assert [work["id"] for work in found] == made[1:4]
    selection.get_by_role("button", name="Favourite").click()
    expect(page.locator(".star:visible")).to_have_count(3)
    with page.expect_download() as download:
        selection.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(download.value.path()) as zipped:
        assert [name[8:44] for name in zipped.namelist()] == made[1:4]
    selection.get_by_role("button", name="Move to the trash").click()
    expect(page.locator("#said")).to_contain_text("3 moved to the trash")
    assert ids(page) == [made[0], *made[4:]]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".card:visible")).to_have_count(6)
    assert ids(page) == made
    page.reload()
    assert ids(page) == made


def test_what_is_chosen_by_keys_goes_by_keys(open_page: Open) -> None:
    page = open_page()
    made = works(page, "a keyed kite", 3)
    page.goto("/?q=keyed")
    choose(page, 0)
    page.keyboard.press("Control+a")
    expect(page.locator("#selection output")).to_have_text("3 selected")
    page.keyboard.press("Delete")
    expect(page.locator(".card:visible")).to_have_count(0)
    page.keyboard.press("Control+z")
    expect(page.locator(".card:visible")).to_have_count(3)
    choose(page, 1)
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_be_hidden()
    assert ids(page) == made


def test_a_choice_that_is_refused_says_so_and_hides_nothing(open_page: Open) -> None:
    page = open_page(expected="503")
    works(page, "a refused kite", 2)
    page.goto("/?q=refused")
    busy = '{"detail": "The database is busy", "errors": []}'
    page.route("**/selection", lambda route: route.fulfill(status=503, body=busy, content_type="application/json"))
    choose(page, 0)
    page.keyboard.press("Delete")
    expect(page.locator("#said")).to_contain_text("The database is busy")
    expect(page.locator(".card:visible")).to_have_count(2)


def test_the_trash_gives_back_and_is_emptied(open_page: Open) -> None:
    page = open_page()
    page.on("dialog", lambda dialog: dialog.accept())
    made = works(page, "a fallen kite", 4)
    page.request.post("/api/v1/artworks/selection", data={"ids": made, "action": "trash"})
    page.goto("/?trashed=true&q=fallen")
    choose(page, 0)
    page.locator("#selection").get_by_role("button", name="Restore").click()
    expect(page.locator("#said")).to_contain_text("1 restored")
    choose(page, 0)
    page.locator("#selection").get_by_role("button", name="Delete for ever").click()
    expect(page.locator("#said")).to_contain_text("1 deleted for ever")
    page.goto("/?trashed=true&q=fallen")
    assert ids(page) == made[2:]
    follow(page.get_by_role("button", name="Empty the trash"))
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    page.goto("/?q=fallen")
    assert ids(page) == made[:1]


# --- one work -------------------------------------------------------------------------------------------------------


def test_a_work_is_named_tagged_marked_trashed_and_taken_back(open_page: Open) -> None:
    page = open_page()
    card = draw(page, "to be named")
    follow(card.locator(".works a"))
    page.get_by_label("Title").fill("The fox")
    page.get_by_label("Tags").fill("animal, 狐狸")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#labels output")).to_have_text("Saved")
    expect(page.get_by_role("heading", level=1)).to_have_text("The fox")
    expect(page.locator("[data-subject]")).to_have_text("to be named")
    page.get_by_role("button", name="Favourite").click()
    expect(page.locator("#favourite")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The fox")
    page.get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_text("This work is in the trash.")).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("This work is in the trash.")).to_have_count(0)


def test_a_plain_background_can_be_left_out(open_page: Open) -> None:
    page = open_page()
    (identifier,) = works(page, "a red fox", 1)
    page.goto(f"/artworks/{identifier}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Without background").click()
    cutout = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    whole = Image.open(io.BytesIO(page.request.get(f"/api/v1/artworks/{identifier}/file").body()))
    assert cutout.mode == "RGBA" and cutout.size == whole.size and cutout.getchannel("A").getextrema() == (0, 255)
    assert "a red fox" in cutout.info["danqing"]


# --- the viewer -----------------------------------------------------------------------------------------------------


def open_viewer(page: Page, number: int = 0) -> Any:
    page.locator(".card").nth(number).hover()
    page.locator(".card [data-view]").nth(number).click()
    viewer = page.locator(".pswp--open")
    expect(viewer.locator(".pswp__img:visible").first).to_be_visible()
    return viewer


def shown(page: Page) -> Any:
    return page.locator(".pswp__item[aria-hidden=false] img:not([aria-hidden])")


def test_the_viewer_goes_by_keys_and_takes_back_what_it_trashed(open_page: Open) -> None:
    page = open_page()
    made = works(page, "a viewed kite", 4)
    page.goto("/?q=viewed")
    viewer = open_viewer(page, 1)
    expect(viewer.locator(".pswp__counter")).to_have_text("2 / 4")
    page.keyboard.press("f")
    expect(page.locator(".star:visible")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(viewer.locator(".pswp__counter")).to_have_text("3 / 4")
    page.keyboard.press("Delete")
    expect(page.locator("#said")).to_contain_text("Moved to the trash")
    expect(viewer.locator(".pswp__counter")).to_have_text("3 / 3")
    assert made[3] in str(shown(page).get_attribute("src"))
    page.keyboard.press("Delete")
    expect(viewer.locator(".pswp__counter")).to_have_text("2 / 2")
    assert made[1] in str(shown(page).get_attribute("src"))
    page.get_by_role("button", name="Undo").click()
    expect(viewer.locator(".pswp__counter")).to_have_text("3 / 3")
    page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    assert ids(page) == [made[0], made[1], made[3]]


def test_the_viewer_goes_on_where_the_gallery_has_not_loaded_yet(open_page: Open) -> None:
    page = open_page()
    for number in range(4):
        works(page, f"an endless kite {number}", 16)
    page.goto("/?q=endless")
    expect(page.locator(".card")).to_have_count(48)
    viewer = open_viewer(page, 46)
    expect(viewer.locator(".pswp__counter")).to_have_text("47 / 64")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(viewer.locator(".pswp__counter")).to_have_text("49 / 64")


def test_from_a_work_the_viewer_goes_both_ways_and_stays_where_it_was_left(open_page: Open) -> None:
    page = open_page()
    made = works(page, "a middle kite", 3)
    page.goto(f"/artworks/{made[1]}?q=middle")
    page.keyboard.press(" ")
    counter = page.locator(".pswp__counter")
    expect(counter).to_have_text("2 / 3")
    page.keyboard.press("ArrowLeft")
    expect(counter).to_have_text("1 / 3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(counter).to_have_text("3 / 3")
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/artworks/{made[2]}?q=middle")


def test_two_works_are_compared_part_by_part(open_page: Open) -> None:
    page = open_page()
    made = works(page, "a compared kite", 3)
    page.goto("/?q=compared")
    choose(page, 0, 2)
    page.locator("#selection").get_by_role("button", name="Compare").click()
    pinned, moving = page.locator(".viewer-pinned img"), shown(page)
    assert made[0] in str(pinned.get_attribute("src")) and made[2] in str(moving.get_attribute("src"))

    def together() -> bool:
        a, b = pinned.bounding_box(), moving.bounding_box()
        assert a and b
        half = page.viewport_size["width"] / 2  # type: ignore[index]
        return all(abs(x - y) < 2 for x, y in ((a["x"] - half, b["x"]), (a["y"], b["y"]), (a["width"], b["width"])))

    assert together()
    width = moving.bounding_box()["width"]
    page.mouse.move(200, 300)
    page.mouse.wheel(0, -500)
    grown = "width => document.querySelector('.viewer-pinned img').getBoundingClientRect().width > 1.2 * width"
    page.wait_for_function(grown, arg=width)
    assert together()
    page.keyboard.press("c")
    expect(page.locator(".viewer-pinned")).to_have_count(0)


def test_on_a_phone_works_are_chosen_swiped_and_all_fits(open_page: Open) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    works(page, "a small kite", 3)
    page.goto("/?q=small")
    page.locator(".card .pick").first.tap()
    expect(page.locator("#selection output")).to_have_text("1 selected")
    box = page.locator("#selection").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["y"] + box["height"] <= 740
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#selection").get_by_role("button", name="Select nothing").tap()
    follow(page.locator(".card a").nth(1))
    page.locator("#view").tap()
    counter = page.locator(".pswp__counter")
    expect(counter).to_have_text("2 / 3")
    swipe(page, 300, 60)
    expect(counter).to_have_text("3 / 3")


def swipe(page: Page, start: int, end: int) -> None:
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *x: int) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": each, "y": 400} for each in x]})

    touch("touchStart", start)
    for x in range(start, end, (end - start) // 8):
        touch("touchMove", x)
    touch("touchEnd")


def test_chosen_works_and_the_viewer_are_accessible(open_page: Open) -> None:
    page = open_page()
    works(page, "an accessible kite", 3)
    page.goto("/?q=accessible")

    def check() -> None:
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
        assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []

    page.evaluate(AXE.read_text("utf-8"))
    choose(page, 0, 1)
    check()
    page.locator("#selection").get_by_role("button", name="Compare").click()
    expect(page.locator(".viewer-pinned img")).to_be_visible()
    check()
