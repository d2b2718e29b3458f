"""Music in the browser: composed, heard with a cursor over its roll, read as notation; bars of it are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.media import midi
from app.media.sound import can_play
from tests.app.test_datasets import zipped
from tests.app.test_kinds import SCORE
from tests.browser.test_datasets import violations
from tests.studio import Studio
from tests.support import composer

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
LOUDNESS = """async () => {
  const { sounds } = await import("/static/js/player/sounds.js");
  const { loudness } = await sounds();
  const wave = new Float32Array(loudness.fftSize);
  let most = 0;
  for (let i = 0; i < 60 && most < 0.001; i++) {
    loudness.getFloatTimeDomainData(wave);
    most = Math.max(most, ...wave.map(Math.abs));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return most;
}"""


@pytest.fixture(scope="module", autouse=True)
def a_composer(studio: Studio) -> None:
    composer.publish(studio.folder / "data" / "checkpoints")


def composed(page: Page, bars: int = 4) -> dict[str, Any]:
    """A piece that is there, as the API tells it."""
    body = {"model": composer.NAME, "task": "music-generation", "params": {"bars": bars, "seed": 1}}
    answer = page.request.post("/api/v1/generations", data=body)
    assert answer.status == 202, answer.text()
    job = answer.json()["id"]
    for _ in range(240):
        found = page.request.get(f"/api/v1/generations/{job}").json()
        if found["status"] in ("succeeded", "failed"):
            break
        page.wait_for_timeout(250)
    assert found["status"] == "succeeded", found
    work: dict[str, Any] = page.request.get(f"/api/v1/artworks/{found['artworks'][0]['id']}").json()
    return work


def test_a_piece_is_read_and_its_parts_are_chosen(open_page: Open) -> None:
    page = open_page(viewport={"width": 1366, "height": 900})
    work = composed(page)
    assert work["facts"]["parts"] == 4 and work["facts"]["bars"] == 4
    page.goto(f"/artworks/{work['id']}")
    sheet = page.get_by_role("img", name="Engraved score")
    sheet.scroll_into_view_if_needed()
    expect(sheet).to_have_js_property("complete", True)
    assert sheet.evaluate("image => image.naturalWidth") > 100
    alto = page.get_by_role("button", name="Alto")
    alto.click()
    expect(alto).to_have_attribute("aria-pressed", "false")
    roll = page.get_by_role("slider", name="Place in the piece")
    roll.press("ArrowRight")
    expect(roll).to_have_attribute("aria-valuenow", "1.00")
    roll.press("PageDown")
    expect(roll).to_have_attribute("aria-valuenow", "5.00")
    roll.press("End")
    expect(roll).to_have_attribute("aria-valuenow", "16.00")
    assert violations(page) == []


def test_other_forms_of_a_piece(open_page: Open) -> None:
    page = open_page()
    work = composed(page)
    place = f"/api/v1/artworks/{work['id']}"
    notes = page.request.get(f"{place}/notes").json()
    assert notes["parts"] == composer.CHOIR and len(notes["notes"]) == work["facts"]["notes"]
    xml = page.request.get(f"{place}/as/musicxml?download=true")
    assert "attachment" in xml.headers["content-disposition"] and "score-partwise" in xml.text()
    assert page.request.get(f"{place}/as/svg").headers["content-type"].startswith("image/svg")
    assert page.request.get(f"{place}/as/wav").status == (200 if can_play() else 503)
    assert page.request.get(f"{place}/as/mp3").status == 422
    again = page.request.post("/api/v1/generations", data={"model": composer.NAME, "task": "music-harmonization"})
    assert again.status == 422, "without a melody"


@pytest.mark.skipif(not can_play(), reason="set-up could fetch no soundfont here")
def test_a_piece_is_heard_and_stops(open_page: Open) -> None:
    page = open_page()
    page.goto(f"/artworks/{composed(page)['id']}")
    page.get_by_role("button", name="Play").click()
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_enabled()
    assert page.evaluate(LOUDNESS) > 0.001
    roll = page.get_by_role("slider", name="Place in the piece")
    expect(roll).not_to_have_attribute("aria-valuenow", "0.00")
    page.get_by_role("slider", name="Tempo").fill("240")
    pause.click()
    stopped = roll.get_attribute("aria-valuenow")
    page.wait_for_timeout(300)
    assert roll.get_attribute("aria-valuenow") == stopped
    roll.press("End")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_enabled()
    page.get_by_role("slider", name="Tempo").fill("240")
    expect(page.get_by_role("button", name="Play")).to_be_enabled()  # after four seconds it ends by itself


@pytest.mark.parametrize("width", [1366, 360])
def test_bars_are_chosen_on_the_roll_and_written_anew(open_page: Open, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    work = composed(page, bars=8)
    page.goto(f"/artworks/{work['id']}")
    page.get_by_role("link", name="Write bars anew").click()
    canvas = page.locator("#bars canvas")
    canvas.scroll_into_view_if_needed()
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 4.5 / 8, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 2.5 / 8, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.get_by_label("From bar")).to_have_value("3")
    expect(page.get_by_label("To bar")).to_have_value("5")
    with page.expect_response(
        lambda answer: answer.url.endswith("/generations") and answer.request.method == "POST"
    ) as asked:
        page.get_by_role("button", name="Compose", exact=True).click()
    job = asked.value.json()
    assert job["params"]["first_bar"] == 3 and job["inputs"]["score"][0]["artwork"] == work["id"]
    expect(page.locator(f'[data-job="{job["id"]}"]')).to_have_attribute("data-status", "succeeded")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pieces_of_a_shared_dataset_are_taken_whatever_their_form(open_page: Open) -> None:
    page = open_page()
    made = page.request.post("/api/v1/datasets", data={"name": "Shared songs", "kind": "music", "visibility": "studio"})
    dataset = made.json()["id"]
    packed = zipped({"META-INF/container.xml": b"<container/>", "song.xml": SCORE.encode()}).getvalue()
    for name, content in (("jig.abc", b"X:1\nT:A jig\nM:6/8\nK:D\nFAd fed|dAF D3|\n"), ("song.mxl", packed)):
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        sent = page.request.post(f"/api/v1/datasets/{dataset}/items", multipart={"files": file})
        assert sent.json()["accepted"] == 1, sent.text()
    page.goto(f"/create?model={composer.NAME}&task=music-continuation")
    page.get_by_label("Which works").select_option("Shared songs")
    pieces = page.get_by_role("group", name="Works to use").get_by_role("button")
    expect(pieces).to_have_count(2)
    for i in range(2):
        with page.expect_response(lambda answer: answer.url.endswith("/uploads")) as taken:
            pieces.nth(i).click()
        assert taken.value.status == 201, taken.value.text()


def test_an_upbeat_is_asked_for_refused_or_left_as_usual(open_page: Open) -> None:
    page = open_page()
    page.goto(f"/create?model={composer.NAME}&task=music-generation")
    upbeat = page.get_by_label("Upbeat")
    assert upbeat.locator("option").all_inner_texts() == ["any", "yes", "no"]
    for chosen, wanted in (("yes", True), ("no", False), ("any", None)):
        upbeat.select_option(chosen)
        with page.expect_response(
            lambda answer: answer.url.endswith("/generations") and answer.request.method == "POST"
        ) as asked:
            page.get_by_role("button", name="Compose", exact=True).click()
        assert asked.value.json()["params"]["upbeat"] is wanted


def test_a_newcomer_begins_with_what_the_model_has_composed(open_page: Open) -> None:
    page = open_page(viewport={"width": 1366, "height": 900})
    page.goto(f"/create?model={composer.NAME}&task=music-harmonization")
    page.get_by_label("Which works").select_option("Examples")
    first, second = (page.get_by_role("button", name=f"♪ {i}") for i in (1, 2))
    expect(second).to_be_visible()
    page.get_by_label("Search works to use").fill("2")
    expect(first).to_be_hidden()
    with page.expect_response(lambda answer: answer.url.endswith("/uploads")) as sent:
        second.click()
    assert sent.value.status == 201
    expect(page.locator(".chosen li")).to_have_count(1)
    with page.expect_response(
        lambda answer: answer.url.endswith("/generations") and answer.request.method == "POST"
    ) as asked:
        page.get_by_role("button", name="Compose", exact=True).click()
    job = asked.value.json()
    expect(page.locator(f'[data-job="{job["id"]}"]')).to_have_attribute("data-status", "succeeded")
    assert not violations(page)


def test_a_mixture_is_shown_and_heard_while_sliders_move(open_page: Open) -> None:
    page = open_page(viewport={"width": 1366, "height": 900})
    works = [composed(page, bars=2) for _ in range(2)]
    sources = "&".join(f"source={work['id']}" for work in works)
    page.goto(f"/create?model={composer.MIXER}&task=music-interpolation&{sources}")
    roll = page.get_by_role("img", name="Live preview")
    expect(roll).to_be_visible()
    weight = page.locator("[data-weight]").first
    with page.expect_response(lambda answer: "explorations" in answer.url and answer.status == 200) as asked:
        weight.fill("0.2")
    frame = asked.value.json()
    assert frame["parts"] == composer.CHOIR and frame["notes"]
    listen = page.get_by_role("button", name="Listen")
    if can_play():
        listen.click()
        assert page.evaluate(LOUDNESS) > 0.001
        weight.fill("0.9")  # another piece goes on from there
        expect(listen).to_have_attribute("aria-pressed", "true")
        listen.click()
    expect(listen).to_have_attribute("aria-pressed", "false")
    assert violations(page) == []


def test_what_a_model_has_composed_is_heard_on_its_page(open_page: Open) -> None:
    page = open_page(viewport={"width": 1366, "height": 900})
    page.goto(f"/models/{composer.NAME}")
    pieces = page.locator("#pieces > li")
    expect(pieces).to_have_count(2)
    expect(page.get_by_role("img", name="Contact sheet")).to_be_hidden()
    expect(pieces.nth(1).locator("[data-time]")).to_have_text("0:00 / 0:05")
    file = page.request.get(pieces.nth(1).get_by_role("link", name="MIDI").get_attribute("href") or "")
    assert file.ok and [n.pitch for n in midi.read(file.body()).notes] == list(range(67, 75))
    assert page.request.get(f"/api/v1/models/{composer.NAME}/samples/3/midi").status == 404
    assert page.request.get(f"/api/v1/models/{composer.MIXER}/samples/notes").status == 404
    if can_play():
        first, second = (pieces.nth(i).locator("[data-play]") for i in range(2))
        first.click()
        expect(first).to_have_text("Pause")
        second.click()
        expect(second).to_have_text("Pause")
        expect(first).to_have_text("Play")
        second.click()
    assert not violations(page)
