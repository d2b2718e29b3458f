"""What an artist does, in a real browser."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from app.media.pixels import encode_png
from app.media.provenance import signed, with_provenance
from tests.browser.pages import draw, follow
from tests.studio import ROOT, request, wait_until

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
AXE = ROOT / "static" / "vendor" / "axe.min.js"


def occupy(page: Page, jobs: int = 6) -> None:
    """Give the worker some seconds of this user's own work, however quick it is."""
    for number in range(jobs):
        answer = page.request.post("/api/v1/generations", data=request(f"before it {number}", count=16))
        assert answer.status == 202, answer.text()


def test_a_prompt_is_drawn_before_the_artists_eyes_and_hangs_in_the_gallery(open_page: Open) -> None:
    page = open_page()
    card = draw(page, "红色的狐狸", count=16)
    expect(card.locator(".blank img").first).to_be_visible()
    expect(card.locator(".works a img")).to_have_count(16)
    follow(card.locator(".works a").first)
    expect(page.get_by_role("heading", level=1)).to_have_text("红色的狐狸")
    seed = page.locator("dt:text-is('Seed') + dd").inner_text()
    follow(page.get_by_role("link", name="Open in create"))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("红色的狐狸")
    expect(page.get_by_label("Seed", exact=True)).to_have_value(seed)
    page.goto("/?q=狐狸")
    assert page.locator(".card").count() >= 16


def test_a_file_that_is_dropped_opens_the_form_that_made_it(open_page: Open) -> None:
    page = open_page(expected="422")
    card = draw(page, "a dropped kite, flat style")
    url = card.locator(".works a img").first.get_attribute("src").split("/preview")[0] + "/file"
    content = page.request.get(url).body()
    page.goto("/create")
    drop = """([bytes, name]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        const dropped = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector("#jobs").dispatchEvent(dropped);
    }"""
    page.evaluate(drop, [[1, 2, 3], "no-picture.png"])
    expect(page.locator("#problem")).to_contain_text("does not say how it was made")
    page.evaluate(drop, [list(content), "kite.png"])
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a dropped kite, flat style")
    expect(page.get_by_label("Seed", exact=True)).not_to_have_value("")
    expect(page.locator("#differences")).to_be_hidden()
    old = with_provenance(encode_png(Image.open(io.BytesIO(content))), {**signed(content), "version": "0.0.1"})
    page.get_by_label("From a work's file").set_input_files(
        {"name": "kite.png", "mimeType": "image/png", "buffer": old}
    )
    expect(page.locator("#differences")).to_contain_text("drawn by version 0.0.1")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a dropped kite, flat style")


def test_a_refresh_in_the_middle_loses_nothing(open_page: Open) -> None:
    page = open_page()
    occupy(page)
    card = draw(page, "a refreshed cat", count=16)
    assert card.get_attribute("data-status") in ("queued", "running")
    page.reload()
    card = page.locator(".job").first
    expect(card.locator(".prompt")).to_have_text("a refreshed cat")
    expect(card.locator(".works a img")).to_have_count(16)


def test_a_waiting_job_says_its_place_and_can_be_cancelled(open_page: Open) -> None:
    page = open_page()
    occupy(page)
    card = draw(page, "queued", count=16)
    expect(card.locator("[data-text]")).to_contain_text("ahead")
    card.get_by_role("button", name="Cancel").click()
    expect(page.locator(".job").first.locator("[data-text]")).to_have_text("Cancelled")
    expect(page.locator(".job").nth(6).locator(".works a img")).to_have_count(16)


def test_a_wish_to_cancel_that_is_refused_can_be_said_again(open_page: Open) -> None:
    page = open_page(expected="503")
    occupy(page)
    card = draw(page, "to be cancelled", count=16)
    busy = '{"detail": "The database is busy", "errors": []}'
    page.route("**/cancellation", lambda route: route.fulfill(status=503, body=busy, content_type="application/json"))
    card.get_by_role("button", name="Cancel").click()
    expect(page.locator("#problem")).to_have_text("The database is busy")
    page.unroute("**/cancellation")
    card.get_by_role("button", name="Cancel").click()
    expect(page.locator(".job").first.locator("[data-text]")).to_have_text("Cancelled")


def test_a_hidden_page_follows_nothing_and_knows_all_when_it_is_seen_again(open_page: Open) -> None:
    page = open_page()
    page.add_init_script("""
        const Real = EventSource;
        window.streams = [];
        window.EventSource = class extends Real { constructor(...given) { super(...given); streams.push(this); } };
        window.show = (seen) => {
            Object.defineProperty(document, "hidden", { get: () => !seen, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        };
    """)
    page.goto("/create")
    opened = "streams.filter((stream) => stream.readyState !== EventSource.CLOSED).length"
    assert page.evaluate(opened) == 1
    card = draw(page, "seen again", count=16)
    page.evaluate("show(false)")
    assert page.evaluate(opened) == 0
    newest = page.request.get("/api/v1/generations?limit=1").json()["items"][0]["id"]
    wait_until("the job", lambda: page.request.get(f"/api/v1/generations/{newest}").json()["status"] == "succeeded")
    page.evaluate("show(true)")
    expect(card.locator(".works a img")).to_have_count(16)
    assert page.evaluate(opened) == 1


def test_many_waiting_jobs_do_not_block_the_page(open_page: Open) -> None:
    page = open_page()
    occupy(page, 14)
    page.goto("/create")
    expect(page.locator(".job").first.locator("[data-text]")).to_contain_text("ahead")
    for _ in range(3):
        page.locator(".job [data-cancel]").first.click()
        expect(page.locator(".job[data-status=cancelled]").first).to_be_visible()
        page.reload()


def test_an_enter_that_is_held_or_picks_a_character_draws_nothing_more(open_page: Open) -> None:
    page = open_page()
    page.goto("/create")
    page.get_by_label("Prompt", exact=True).fill("held down")
    page.get_by_label("Prompt", exact=True).evaluate("""(place) => {
        const enter = { key: "Enter", cancelable: true, bubbles: true };
        const press = (options) => place.dispatchEvent(new KeyboardEvent("keydown", { ...enter, ...options }));
        press({ keyCode: 229 });
        press({});
        press({ repeat: true });
        press({});
    }""")
    expect(page.locator(".job").first.locator(".prompt")).to_have_text("held down")
    found = page.request.get("/api/v1/generations?limit=10").json()["items"]
    assert len([job for job in found if job["params"]["prompt"] == "held down"]) == 1


def test_a_request_whose_answer_is_lost_is_drawn_once_when_it_is_sent_again(open_page: Open) -> None:
    page = open_page(expected="net::ERR_FAILED")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.goto("/create")
    page.route("**/api/v1/generations", lose)
    page.get_by_label("Prompt", exact=True).fill("lost on its way")
    page.get_by_label("Prompt", exact=True).press("Enter")
    expect(page.locator("#problem")).to_contain_text("is not responding")
    page.unroute("**/api/v1/generations")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".job").first.locator(".prompt")).to_have_text("lost on its way")
    found = page.request.get("/api/v1/generations?limit=10").json()["items"]
    assert len([job for job in found if job["params"]["prompt"] == "lost on its way"]) == 1


def test_what_was_filled_in_goes_along_to_another_model_and_back(open_page: Open) -> None:
    page = open_page()
    page.goto("/create")
    page.get_by_label("Prompt", exact=True).fill("a kite")
    page.get_by_label("Seed", exact=True).fill("7")
    page.locator(".models a", has_text="Pixel faces").first.click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("7")
    page.locator(".models a", has_text="Emoji mixing").click()
    expect(page.get_by_label("Count")).to_be_visible()
    expect(page.get_by_label("Seed", exact=True)).to_have_count(0)  # nothing of a mixture is left to chance
    page.locator(".models a[href*=drawings-transformer]").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a kite")
    page.goto("/create")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(
        "a kite"
    )  # nor is it lost when the page is left and opened again


def test_the_chosen_model_is_in_sight_among_many(open_page: Open) -> None:
    page = open_page()
    page.goto("/create")
    models = page.locator(".models a")
    assert models.count() > 6
    expect(page.get_by_label("Prompt", exact=True)).to_be_in_viewport()
    follow(models.last)
    expect(page.locator(".models [aria-current]")).to_be_in_viewport()


def test_what_came_from_a_work_goes_along_too_and_a_language_takes_nothing_away(open_page: Open) -> None:
    page = open_page()
    page.goto(f"/create?{urlencode({'request': json.dumps(request('a given kite', seed=3))})}")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a given kite")
    follow(page.locator(".models a", has_text="Emoji mixing"))
    follow(page.locator(".models a[href*=drawings-transformer]"))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a given kite")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("3")
    page.get_by_label("Prompt", exact=True).fill("a typed kite")
    follow(page.get_by_role("button", name="简体中文"))
    expect(page.get_by_label("提示词", exact=True)).to_have_value("a typed kite")
    follow(page.get_by_role("button", name="English"))


def test_style_chips_change_the_prompt_and_the_dice_rolls(open_page: Open) -> None:
    page = open_page()
    page.goto("/create?model=drawings-transformer")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_role("button", name="Noto").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox, noto style")
    page.get_by_role("button", name="3D").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox, 3d style")
    expect(page.get_by_role("button", name="3D")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="3D").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    page.get_by_role("button", name="Roll a seed").click()
    assert int(page.get_by_label("Seed", exact=True).input_value()) >= 0


def test_a_bad_value_is_named_beside_its_field(open_page: Open) -> None:
    page = open_page(expected="422")
    page.goto("/create")
    page.get_by_label("Count").fill("99")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.route(
        "**/api/v1/generations",
        lambda route: route.fulfill(
            status=422,
            content_type="application/problem+json",
            body='{"detail": "x", "errors": [{"loc": ["body", "params", "count"], "msg": "at most 16"}]}',
        ),
    )
    with page.expect_response("**/api/v1/generations"):
        page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("[data-error=count]")).to_have_text("at most 16")


@pytest.mark.parametrize("prompt", ["<script>alert(1)</script><img src=x onerror=alert(2)>", "{{7*7}} ${7*7}"])
def test_prompts_are_shown_as_they_are_and_never_run(open_page: Open, prompt: str) -> None:
    page = open_page()
    page.on("dialog", lambda dialog: pytest.fail("a prompt was run"))
    card = draw(page, prompt)
    expect(card.locator(".works a img")).to_have_count(1)
    follow(card.locator(".works a"))
    expect(page.get_by_role("heading", level=1)).to_have_text(prompt)
    page.goto("/")
    expect(page.locator(".caption").first).to_have_text(prompt)


def test_the_studio_speaks_chinese_by_itself_and_by_the_switch(open_page: Open) -> None:
    chinese = open_page(locale="zh-CN")
    chinese.goto("/create")
    expect(chinese.get_by_role("button", name="开始画")).to_be_visible()
    english = open_page()
    english.goto("/create")
    english.get_by_role("button", name="简体中文").click()
    expect(english.get_by_role("button", name="开始画")).to_be_visible()
    assert english.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize(
    "path",
    [
        "/create",
        "/",
        "/models",
        "/models/drawings-transformer",
        "/datasets",
        "/train",
        "/train/new",
        "/account",
        "/admin",
        "/docs",
        "/nothing",
    ],
)
def test_pages_fit_a_phone_in_the_dark_and_are_accessible(open_page: Open, path: str) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
    if path == "/nothing":
        page.route("**/nothing", lambda route: route.fulfill(response=route.fetch(), status=200))
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []


def test_what_draws_nothing_by_itself_has_a_page_too(open_page: Open) -> None:
    page = open_page()
    page.goto("/models")
    expect(page.get_by_role("heading", name="Models that others build on")).to_be_visible()
    follow(page.get_by_role("link", name="Drawings autoencoder, tokens"))
    expect(page.get_by_role("img", name="Contact sheet")).to_be_visible()
    expect(page.get_by_role("link", name="Export")).to_be_visible()
    expect(page.get_by_role("link", name="Create with this")).to_have_count(0)


def test_pages_are_accessible_in_the_light(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    draw(page, "an accessible fox")
    for path in ("/create", "/", "/account", "/admin"):
        page.goto(path)
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})")
        assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == [], path


def test_the_reference_of_the_api_is_one_of_the_studios_pages(open_page: Open) -> None:
    page = open_page(locale="zh-CN", color_scheme="dark", expected="422")
    foreign: list[str] = []
    page.on(
        "request",
        lambda each: None if each.url.startswith(("http://127.0.0.1", "data:", "blob:")) else foreign.append(each.url),
    )
    page.goto("/docs")
    expect(page.get_by_role("heading", level=1)).to_have_text("API")
    expect(page.get_by_role("navigation", name="主导航")).to_be_visible()
    page.get_by_label("查找接口").fill("generations 提交")
    expect(page.locator(".operation:visible").filter(has_text="/api/v1/")).to_have_count(1)
    submit = page.locator("#generations_submit")
    submit.locator("summary").click()
    expect(submit.get_by_text("相同的键和相同的请求返回同一个任务")).to_be_visible()
    submit.get_by_role("button", name="发送").click()
    expect(submit.locator("output")).to_contain_text("202")
    expect(submit.locator("output pre")).to_contain_text("drawings-transformer")
    page.goto("/docs#artworks_list_artworks")
    listing = page.locator("#artworks_list_artworks")
    listing.get_by_label("limit").fill("0")
    with page.expect_response("**/artworks?limit=0") as answer:
        listing.get_by_role("button", name="发送").click()
    assert answer.value.status == 422
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert foreign == []


@pytest.mark.parametrize(
    "path", ["/", "/?q=nothing-like-it", "/?trashed=true", "/create", "/models", "/account", "/admin", "/docs"]
)
def test_every_page_has_one_heading_of_the_first_level(open_page: Open, path: str) -> None:
    page = open_page()
    page.goto(path)
    expect(page.locator("h1")).to_have_count(1)


def test_where_nothing_is_the_menu_stays_and_a_used_link_leads_to_the_sign_in(open_page: Open) -> None:
    page = open_page(expected="404")
    page.goto("/no/such/page")
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    stranger = open_page(anonymous=True, expected="40")
    stranger.goto("/no/such/page")
    expect(stranger.get_by_role("navigation", name="Main")).to_have_count(0)
    stranger.goto("/link/of-long-ago")
    expect(stranger.get_by_role("alert")).to_have_text("This link is invalid or has expired")
    stranger.get_by_label("Name").fill("painter")
    stranger.get_by_label("Password").fill("correct horse")
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("navigation", name="Main")).to_be_visible()


def test_a_new_user_enters_by_a_link_and_sets_a_password(open_page: Open) -> None:
    page = open_page()
    page.goto("/admin")
    page.get_by_label("Name of the new user").fill("小明")
    page.get_by_role("button", name="Add").click()
    link = page.locator(".secret").inner_text()
    newcomer = open_page(anonymous=True)
    newcomer.goto(link)
    newcomer.get_by_role("button", name="Enter the studio").click()
    newcomer.wait_for_url("**/create")
    newcomer.goto("/")
    expect(newcomer.get_by_role("heading", level=1)).to_have_text("Your gallery is empty")
    newcomer.goto("/account")
    newcomer.get_by_label("New password").fill("correct horse")
    newcomer.get_by_role("button", name="Save").click()
    expect(newcomer.get_by_text("The password is set.")).to_be_visible()
    newcomer.get_by_role("button", name="Sign out").click()
    newcomer.wait_for_url("**/sign-in")
