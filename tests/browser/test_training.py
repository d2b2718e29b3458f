"""From pictures to a model that draws, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.test_datasets import drawing
from tests.browser.pages import follow
from tests.browser.test_datasets import make, violations
from tests.studio import Studio

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
MINUTES = 360_000  # milliseconds that a run of this size may take on a busy machine


@pytest.fixture(scope="module", autouse=True)
def training(studio: Studio) -> Iterator[None]:
    studio.start("training")
    yield
    studio.kill("training")


def fill(page: Page, name: str, steps: int) -> None:
    """The form of a run that takes seconds."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Start from").select_option("drawings-transformer")
    page.get_by_label("Watched prompts").fill("a red kite")  # one is soon drawn
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Batch size").fill("4")
    page.get_by_label("Views").fill("1")
    page.get_by_label("Steps", exact=True).fill(str(steps))


def test_pictures_are_trained_on_watched_published_and_drawn_with(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    make(page, "Kites to learn")
    files = []
    for i in range(8):
        files.append(tmp_path / f"a red kite {i}.png")
        files[-1].write_bytes(drawing(i))
    page.get_by_label("Choose files").set_input_files(files)
    expect(page.locator("#report")).to_have_text("8 added")

    follow(page.get_by_role("link", name="Train with these"))
    follow(page.get_by_role("link", name="Text-to-image transformer"))
    expect(page.locator("#estimate")).to_contain_text("GiB of memory")
    said = page.locator("#estimate").inner_text()
    page.get_by_label("Steps", exact=True).fill("1000000")  # and the field is not left
    expect(page.locator("#estimate")).not_to_have_text(said)
    expect(page.locator("#estimate")).to_contain_text("GiB of memory")
    expect(page.get_by_label("Dataset", exact=True).locator("option:checked")).to_have_text("Kites to learn (8)")
    assert violations(page) == []
    fill(page, "Kites", 12)
    follow(page.get_by_role("button", name="Launch"))

    expect(page.get_by_role("heading", level=1)).to_have_text("Kites")
    status = page.locator("[data-text]")
    expect(page.locator(".curve canvas").first).to_be_visible(timeout=MINUTES)
    kite = page.get_by_role("img", name="a red kite")
    expect(kite).to_be_visible(timeout=MINUTES)
    expect(kite).to_have_css("background-size", "600% 100%")  # its own picture alone, of a sheet that is six wide
    expect(status).to_have_text("Done", timeout=MINUTES)
    expect(page.locator("#where")).to_contain_text("Step 12 of 12")
    expect(page.locator("#sheet-step")).to_have_text("Step 12")
    page.get_by_label("Timeline of samples").press("Home")
    expect(page.locator("#sheet-step")).to_have_text("Step 1")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.locator("#log summary").click()
    expect(page.locator("#log pre")).to_contain_text("held_out_loss")
    assert violations(page) == []

    expect(page.locator("#publish")).to_contain_text("too few pictures to compare with")
    expect(page.get_by_label("Name of the model")).to_have_value("kites")
    expect(page.get_by_label("Title", exact=True)).to_have_value("Kites")
    page.get_by_label("Name of the model").fill("browser-kites")
    page.get_by_label("Description").fill("Kites, drawn small")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#published")).to_contain_text("It was tried first, and draws.")
    follow(page.get_by_role("link", name="browser-kites"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Kites")
    expect(page.get_by_text("Kites, drawn small")).to_be_visible()
    expect(page.get_by_text("Fine-tuned from")).to_be_visible()
    follow(page.get_by_role("link", name="Create with this"))
    page.get_by_label("Prompt", exact=True).fill("a red kite")
    page.get_by_label("Prompt", exact=True).press("Enter")
    expect(page.locator(".job").first.locator(".works a img")).to_have_count(1)
    page.goto("/models/browser-kites")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Unpublish").click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Unpublish").click()
    page.wait_for_url("**/models")
    assert "browser-kites" not in page.content()


def test_a_run_is_paused_resumed_compared_and_cancelled(open_page: Open) -> None:
    page = open_page(expected="422")
    page.goto("/datasets")
    follow(page.get_by_role("link", name="Kites to learn"))
    follow(page.get_by_role("link", name="Train with these"))
    follow(page.get_by_role("link", name="Text-to-image transformer"))
    fill(page, "Forever", 100_000)
    follow(page.get_by_role("button", name="Launch"))
    status = page.locator("[data-text]")
    expect(page.locator(".curve canvas").first).to_be_visible(timeout=MINUTES)
    page.get_by_role("button", name="Pause").click()
    expect(status).to_have_text("Paused", timeout=MINUTES)
    page.get_by_role("button", name="Resume").click()
    expect(status).to_have_text("Training", timeout=MINUTES)
    page.get_by_label("Compare with").select_option("Kites")
    follow(page.get_by_role("button", name="Compare", exact=True))
    expect(page.locator(".u-legend").first).to_contain_text("loss · Kites")
    page.get_by_label("Total steps").fill("1")
    page.get_by_role("button", name="Change the budget").click()
    expect(page.locator("#problem")).to_contain_text("steps already")
    page.get_by_role("button", name="Cancel").click()
    expect(status).to_have_text("Cancelled", timeout=MINUTES)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/train")
    expect(page.locator(".run-row", has_text="Kites").first).to_be_visible()
    expect(page.locator(".run-row", has_text="Forever")).to_have_count(0)


def test_admins_pause_queues_and_tidy_up(open_page: Open) -> None:
    page = open_page()
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/admin")
    runs = page.get_by_role("group", name="Training runs and models on the disk")
    kites = runs.get_by_role("row", name="Kites succeeded")  # the run, not the model that another test published of it
    expect(kites).to_contain_text("Tidy up, frees")
    follow(page.get_by_role("button", name="Pause “training”"))
    expect(page.get_by_role("status").filter(has_text="Paused: training")).to_be_visible()
    page.goto("/train")
    expect(page.get_by_text("The queue is paused")).to_be_visible()
    page.goto("/admin")
    assert violations(page) == []
    follow(page.get_by_role("button", name="Let “training” go on"))
    follow(kites.get_by_role("button"))
    expect(kites).not_to_contain_text("Tidy up")


def test_what_cannot_be_launched_is_said_beside_its_field(open_page: Open) -> None:
    page = open_page(expected="422")
    page.goto("/train/new?family=text-to-image-transformer")
    fill(page, "", 0)
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("[data-error=name]")).not_to_be_empty()
    expect(page.locator("[data-error=steps]")).not_to_be_empty()
    assert "/train/new" in page.url
    page.get_by_label("Steps", exact=True).fill("50")
    page.get_by_label("Steps", exact=True).press("Tab")
    expect(page.locator("[data-error=steps]")).to_be_empty()
    expect(page.locator("[data-error=name]")).not_to_be_empty()


def test_a_model_is_trained_on_from_its_page(open_page: Open) -> None:
    page = open_page()
    page.goto("/models/open-peeps")
    follow(page.get_by_role("link", name="Fine-tune this model"))
    start, size = page.get_by_label("Start from"), page.get_by_label("Size", exact=True)
    expect(start).to_have_value("open-peeps")
    expect(size).to_be_disabled()
    expect(size).to_have_value("64")
    expect(page.get_by_label("Max width")).to_be_disabled()
    expect(page.locator("#estimate")).to_contain_text("GiB of memory")
    start.select_option("")
    expect(size).to_be_enabled()


def test_the_shape_of_a_network_is_chosen_in_the_form(open_page: Open) -> None:
    page = open_page(expected="422")
    page.goto("/train/new?family=kl-autoencoder")
    page.get_by_label("Name", exact=True).fill("Wide")
    page.get_by_label("Size", exact=True).fill("128")
    page.get_by_text("Network", exact=True).click()
    with page.expect_response(lambda answer: "widths" in (answer.request.post_data or "")) as answer:
        page.get_by_label("Widths").fill("64, 32, 16, 8")
        page.get_by_label("Widths").blur()
    assert answer.value.ok
    assert answer.value.request.post_data_json["params"]["network"] == {"size": 128, "widths": [64, 32, 16, 8]}
    page.get_by_label("Latent", exact=True).fill("0")
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("[data-error='network.latent']")).to_contain_text("at least 1")
    page.get_by_label("Start from").select_option(index=0)
    expect(page.get_by_label("Widths")).to_be_enabled()


def test_what_is_wanted_is_asked_and_the_form_filled_in(open_page: Open) -> None:
    page = open_page()
    page.goto("/train/new")
    with page.expect_navigation():
        page.get_by_label("Dataset", exact=True).select_option("open-peeps")
    goals = page.locator(".goals > li")
    expect(goals).to_have_count(4)
    expect(goals.filter(has_text="in the style of another")).to_contain_text("put each style in a folder")
    expect(goals.filter(has_text="from chance")).to_contain_text("about")
    follow(goals.filter(has_text="from chance").get_by_role("link", name="Set it up"))
    expect(page.locator("#dataset")).to_have_value("open-peeps")
    expect(page.locator("[name=size]")).to_have_value("64")
    expect(page.locator("[name=preset]:checked")).to_have_value("good")
    expect(page.get_by_label("Batch size")).to_be_hidden()
    expect(page.locator("#estimate")).to_contain_text("of memory")
    assert violations(page) == []


@pytest.mark.parametrize("path", ["/train", "/train/new", "/train/new?family=gan"])
def test_training_pages_fit_a_phone_in_chinese(open_page: Open, path: str) -> None:
    page = open_page(locale="zh-CN", viewport={"width": 360, "height": 740})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []
