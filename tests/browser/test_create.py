"""The create page with a history: what is needed is in sight, and nothing that was typed is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.pages import follow
from tests.browser.test_datasets import violations
from tests.studio import request

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
MANY = 14  # jobs: more than the page shows at first


@pytest.fixture
def busy_page(open_page: Open) -> Callable[..., Page]:
    """A page of somebody who has drawn much."""

    def make(**options: object) -> Page:
        page = open_page(**options)
        for number in range(MANY):
            answer = page.request.post("/api/v1/generations", data=request(f"history {number}"))
            assert answer.status == 202, answer.text()
        return page

    return make


def in_sight(page: Page, place: Locator) -> bool:
    box, size = place.bounding_box(), page.viewport_size
    assert box and size
    return box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080), (390, 844)])
def test_the_button_is_in_sight_wherever_the_history_is_scrolled(
    busy_page: Callable[..., Page], width: int, height: int
) -> None:
    page = busy_page(viewport={"width": width, "height": height})
    page.goto("/create?model=drawings-transformer")
    expect(page.locator(".job").nth(11)).to_be_visible()
    button = page.get_by_role("button", name="Draw", exact=True)
    assert in_sight(page, button)
    if width > 800:
        page.get_by_text("More", exact=True).click()
        for place in (0.5, 1.0):
            page.evaluate("share => scrollTo(0, share * document.body.scrollHeight)", place)
            assert in_sight(page, button), place
            page.get_by_label("Guidance").first.scroll_into_view_if_needed()
            assert in_sight(page, page.get_by_label("Guidance").first)
    assert violations(page) == []


def test_older_jobs_are_a_click_away(busy_page: Callable[..., Page]) -> None:
    page = busy_page()
    page.goto("/create?model=drawings-transformer")
    first = page.locator(".job").first.get_attribute("data-job")
    follow(page.get_by_role("link", name="Older jobs"))
    jobs = [job.get_attribute("data-job") for job in page.locator(".job").all()]
    assert jobs and first not in jobs[-2:] and min(filter(None, jobs)) < str(first)


def test_what_was_typed_survives_a_refresh(open_page: Open) -> None:
    page = open_page()
    page.goto("/create?model=drawings-transformer")
    page.get_by_label("Prompt", exact=True).fill("a kite over the sea")
    page.get_by_label("Count").fill("3")
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a kite over the sea")
    expect(page.get_by_label("Count")).to_have_value("3")
    page.goto("/models")
    page.goto("/create?model=drawings-transformer")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a kite over the sea")


def test_examples_show_what_the_model_knows(open_page: Open) -> None:
    page = open_page()
    page.goto("/create?model=drawings-transformer")
    page.get_by_text("What it knows").click()
    page.get_by_role("button", name="a lighthouse").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a lighthouse")
    page.get_by_role("button", name="Surprise me").click()
    expect(page.get_by_label("Prompt", exact=True)).not_to_have_value("a lighthouse")


def test_a_prompt_that_is_too_long_is_counted_and_not_cut(open_page: Open) -> None:
    page = open_page(expected="422")
    page.goto("/create?model=drawings-transformer")
    page.get_by_label("Prompt", exact=True).fill("🦊" * 510)
    expect(page.get_by_text("510 / 500")).to_be_visible()
    page.get_by_label("Prompt", exact=True).press("Enter")
    expect(page.locator("[data-error=prompt]")).to_contain_text("at most 500")
    page.get_by_label("Prompt", exact=True).fill("🦊" * 20)
    expect(page.get_by_text("/ 500")).to_be_hidden()


def test_another_tab_shows_the_job_too(open_page: Open) -> None:
    first, second = open_page(), open_page()
    for page in (first, second):
        page.goto("/create?model=drawings-transformer")
    first.get_by_label("Prompt", exact=True).fill("seen from both tabs")
    first.get_by_label("Prompt", exact=True).press("Enter")
    for page in (first, second):
        expect(page.locator(".job").first.locator(".prompt")).to_have_text("seen from both tabs")
        expect(page.locator(".job").first.locator(".works a img")).to_have_count(1)
        assert page.locator(".job .prompt").get_by_text("seen from both tabs").count() == 1


def test_a_job_that_ends_before_its_card_is_there_is_shown_all_the_same(open_page: Open) -> None:
    page = open_page()
    page.goto("/create?model=pixel-faces")

    def late(route: Route) -> None:
        answer = route.fetch()
        time.sleep(1)
        route.fulfill(response=answer)

    page.route("**/api/v1/generations", late)  # so that the stream tells of the job first
    page.route("**/create/jobs/*", late)
    jobs = page.locator(".job").count()
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator(".job")).to_have_count(jobs + 1)
    expect(page.locator(".job").first.locator(".works a img")).to_have_count(1)
    expect(page.locator("#problem")).to_be_empty()


def test_the_tab_says_when_a_picture_is_done(open_page: Open) -> None:
    page = open_page()
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => true})")
    page.goto("/create?model=drawings-transformer")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_label("Prompt", exact=True).press("Enter")
    expect(page).to_have_title("✓ Create · Danqing 丹青")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page).to_have_title("Create · Danqing 丹青")


def test_the_opening_of_a_scene_has_several_lines(open_page: Open) -> None:
    page = open_page()
    page.goto("/create?model=drama")
    opening = page.get_by_label("Opening", exact=True)
    jobs = page.locator(".job").count()
    opening.fill("Who's there?")
    opening.press("Enter")
    opening.type("Stand, and unfold yourself.")
    expect(opening).to_have_value("Who's there?\nStand, and unfold yourself.")
    assert page.locator(".job").count() == jobs
