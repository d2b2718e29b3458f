"""Working from pictures on the create page, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.app.test_datasets import drawing
from tests.browser.pages import follow, press_draw
from tests.browser.test_datasets import violations
from tests.integration.test_latents import MODEL, model

__all__ = ["model"]  # the fixture
pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def test_works_are_drawn_from_chance_then_varied_and_mixed(open_page: Open, tmp_path: Path) -> None:
    page = open_page(expected="422")  # of a live frame
    page.goto(f"/create?model={MODEL}")
    expect(page.get_by_alt_text("Live preview")).to_be_visible()  # from chance, before anything is given
    assert page.get_by_label("Seed", exact=True).input_value() == ""
    with page.expect_request("**/explorations") as asked:
        page.get_by_role("button", name="Roll a seed").click()
    seed = page.get_by_label("Seed", exact=True).input_value()
    assert f'"seed":{seed}' in (asked.value.post_data or ""), "the frame shows what would be drawn"
    page.get_by_label("Style").select_option("oil")
    page.get_by_label("Count").fill("3")
    works = press_draw(page).locator(".works a")
    expect(works.locator("img")).to_have_count(3)

    follow(works.first)
    expect(page.get_by_role("heading", level=1)).to_have_text("oil · Small faces")
    follow(page.get_by_role("link", name="More like this"))
    expect(page.locator(".chosen li")).to_have_count(1)
    assert violations(page) == []
    frame = page.get_by_alt_text("Live preview")
    expect(frame).to_be_visible()
    before, strength = frame.get_attribute("src"), page.get_by_label("Strength")
    page.locator("[data-for=field-strength]").fill("0.9")
    expect(strength).to_have_value("0.9")
    expect(frame).not_to_have_attribute("src", before or "")
    strength.fill("7")
    expect(page.locator("#live figcaption")).to_contain_text("at most 1")
    strength.fill("0.3")
    expect(page.locator("#live figcaption")).to_contain_text("it follows")
    page.get_by_label("Count").fill("2")
    varied = press_draw(page)
    expect(varied.locator(".from img")).to_have_count(1)
    expect(varied.locator(".works a img")).to_have_count(2)

    follow(page.get_by_role("link", name="Mix works"))
    expect(page.locator(".chosen li")).to_have_count(1)
    expect(page.get_by_label("Weight")).to_be_hidden()  # of one alone
    page.locator(".pick").nth(3).click()
    page.get_by_label("Search works to use").fill("no such work anywhere")
    expect(page.get_by_role("group", name="Works to use")).to_have_text("Nothing found")
    page.get_by_label("Search works to use").fill("oil")
    expect(page.locator(".pick").first).to_be_visible()
    (tmp_path / "kite.png").write_bytes(drawing(3))
    page.locator("[data-files]").set_input_files(tmp_path / "kite.png")
    expect(page.locator(".chosen li")).to_have_count(3)
    page.locator(".chosen li").nth(1).get_by_role("button").click()
    expect(page.locator(".chosen li")).to_have_count(2)
    expect(frame).to_be_visible()
    before = frame.get_attribute("src")
    page.get_by_label("Weight").last.fill("0.25")
    expect(frame).not_to_have_attribute("src", before or "")
    page.get_by_label("Count").fill("2")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("#problem")).to_contain_text("are all the same", use_inner_text=True)
    page.get_by_label("Count").fill("1")
    mixed = press_draw(page)
    expect(mixed.locator(".from img")).to_have_count(2)
    expect(mixed.locator(".works a img")).to_have_count(1)
    follow(mixed.locator(".works a"))
    expect(page.get_by_role("heading", name="Made from")).to_be_visible()
    expect(page.locator("dt:text-is('Weight') + dd")).to_have_text("0.8, 0.2")

    follow(page.get_by_role("link", name="Open in create"))
    expect(page.locator(".chosen li")).to_have_count(2)
    expect(page.get_by_label("Weight").last).to_have_value("0.2")


def test_a_file_that_is_no_picture_and_too_few_pictures_are_said(open_page: Open, tmp_path: Path) -> None:
    page = open_page(expected="status of 4")
    page.goto(f"/create?model={MODEL}&task=image-interpolation")
    (tmp_path / "notes.png").write_text("no picture")
    page.locator("[data-files]").set_input_files(tmp_path / "notes.png")
    expect(page.locator("[data-error=image]")).to_contain_text("not a PNG")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("[data-error=image]")).to_have_text("This task takes 2 to 4 pictures")
    Image.new("L", (2050, 41)).save(tmp_path / "large.png")
    page.locator("[data-files]").set_input_files(tmp_path / "large.png")
    expect(page.locator(".chosen li")).to_contain_text("It was made smaller: 2048 × 41 pixels")


def test_a_request_waits_for_what_is_being_uploaded(open_page: Open, tmp_path: Path) -> None:
    page, held, sent = open_page(expected="status of 4"), list[Route](), list[str]()
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto("/create?model=drawings-upscaler")
    (tmp_path / "kite.png").write_bytes(drawing(7, size=32))
    (tmp_path / "notes.png").write_text("no picture")
    for name in ("notes.png", "kite.png"):
        page.route("**/api/v1/uploads", lambda route: held.append(route), times=1)
        page.locator("[data-files]").set_input_files(tmp_path / name)
        expect(page.get_by_text("Uploading")).to_be_visible()
        page.get_by_role("button", name="Draw", exact=True).click()
        expect(page.locator("#submit")).to_have_attribute("aria-disabled", "true")
        held.pop().continue_()
        expect(page.get_by_text("Uploading")).to_be_hidden()
        if name == "notes.png":
            expect(page.locator("[data-error=image]")).to_contain_text("not a PNG")
            assert not any(url.endswith("/generations") for url in sent), "without the picture nothing is asked for"
    expect(page.locator(".job").first.locator(".from img")).to_have_count(1)
    expect(page.locator("[data-error=image]")).to_be_empty()


def test_a_work_is_enlarged_from_its_page(open_page: Open) -> None:
    page = open_page()
    page.goto(f"/create?model={MODEL}")
    page.get_by_label("Style").select_option("oil")
    expect(page.get_by_label("Size", exact=True)).to_have_value("256")
    page.get_by_label("Size", exact=True).select_option("As it is drawn")
    follow(press_draw(page).locator(".works a").first)
    expect(page.locator("dt:text-is('Size') + dd")).to_contain_text("16 × 16")
    follow(page.get_by_role("link", name="Enlarge"))
    expect(page.locator(".chosen li")).to_have_count(1)
    for control in ("Seed", "Count"):  # nothing is left to chance
        expect(page.get_by_label(control, exact=True)).to_have_count(0)
    page.get_by_label("Factor").select_option("2")
    enlarged = press_draw(page)
    expect(enlarged).to_contain_text("Upscaler of drawings and paintings")
    follow(enlarged.locator(".works a").first)
    expect(page.locator("dt:text-is('Size') + dd")).to_contain_text("32 × 32")
    expect(page.locator("dt:text-is('Seed')")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("oil · Upscaler of drawings and paintings")


def test_a_control_is_shown_once_it_has_an_effect(open_page: Open) -> None:
    page = open_page(expected="422")  # of a live frame
    page.goto("/create?model=pixel-faces-vae&task=image-variation")
    page.evaluate(HAND_OVER, ["drop", list(drawing(1))])
    amount, direction = page.get_by_label("Amount", exact=True), page.get_by_label("Direction")
    expect(direction).to_be_visible()
    expect(amount).to_be_hidden()
    direction.select_option(index=1)
    amount.fill("-3")
    with page.expect_request("**/generations") as asked:
        page.get_by_role("button", name="Draw", exact=True).click()
    assert asked.value.post_data_json["params"]["amount"] == -3
    direction.select_option("")
    expect(amount).to_be_hidden()
    with page.expect_request("**/generations") as asked:
        page.get_by_role("button", name="Draw", exact=True).click()
    assert "amount" not in asked.value.post_data_json["params"]

    page.goto(f"/create?model={MODEL}&task=image-interpolation")
    seed, variety = page.get_by_label("Seed", exact=True), page.get_by_label("Variety", exact=True)
    expect(variety).to_be_visible()
    expect(seed).to_be_hidden()
    variety.fill("0.5")
    expect(seed).to_be_visible()


HAND_OVER = """([kind, bytes]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], "kite.png", { type: "image/png" }));
  const place = document.querySelector("[data-role]");
  const event = kind === "drop"
    ? new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true });
  place.dispatchEvent(event);
}"""


def test_pictures_are_dropped_and_pasted(open_page: Open) -> None:
    page = open_page()
    page.goto(f"/create?model={MODEL}&task=image-interpolation")
    for count, kind in enumerate(("drop", "paste"), 1):
        page.evaluate(HAND_OVER, [kind, list(drawing(count))])
        expect(page.locator(".chosen li")).to_have_count(count)
    expect(page.get_by_alt_text("Live preview")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_is_accessible(open_page: Open, scheme: str, tmp_path: Path) -> None:
    page = open_page(locale="zh-CN", color_scheme=scheme, viewport={"width": 360, "height": 740})
    page.goto(f"/create?model={MODEL}&task=image-interpolation")
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for i, file in enumerate(files):
        file.write_bytes(drawing(i))
    page.locator("[data-files]").set_input_files(files)
    expect(page.locator(".chosen li")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []
