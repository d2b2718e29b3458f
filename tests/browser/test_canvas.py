"""The canvas: painted with mouse, pen, fingers and keys, and what comes of it, by pixels."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_datasets import violations
from tests.studio import Studio, wait_until
from tests.support import painter

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
Pixels = npt.NDArray[np.uint8]
INPAINTING = f"/create?model={painter.NAME}&task=inpainting"
OUTPAINTING = f"/create?model={painter.NAME}&task=outpainting"


@pytest.fixture(autouse=True)
def model(studio: Studio) -> Iterator[None]:
    checkpoints = studio.folder / "data" / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    painter.publish(checkpoints)
    yield
    shutil.rmtree(checkpoints / painter.NAME)


def picture(height: int = 96, width: int = 128) -> Pixels:
    blocks = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def give(page: Page, pixels: Pixels, role: str = "image") -> None:
    file: Any = {"name": "given.png", "mimeType": "image/png", "buffer": png(pixels)}
    page.locator(f'[data-role="{role}"] [data-files]').set_input_files(file)
    if role == "image":
        expect(page.locator("#canvas.open canvas")).to_be_visible()
        page.wait_for_timeout(100)  # the view is fitted at the window's next frame


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the canvas is in the window; both are shares of its sides."""
    box = page.locator("#canvas canvas").bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, *points: tuple[float, float]) -> None:
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=6)
    page.mouse.up()


def drawn(page: Page) -> tuple[Pixels, dict[str, Pixels]]:
    """(the work that the form gives, what it was made from by role)."""
    newest = [job["id"] for job in page.request.get("/api/v1/generations").json()["items"][:1]]
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a fox")
    page.get_by_role("button", name="Draw", exact=True).click()

    def done() -> Any:
        jobs = page.request.get("/api/v1/generations").json()["items"]
        return jobs and [jobs[0]["id"]] != newest and jobs[0]["status"] in ("succeeded", "failed") and jobs[0]

    job = wait_until("the job", done)
    assert job["status"] == "succeeded", job["error"]
    given = {role: file(page, f"uploads/{found[0]['upload']}") for role, found in job["inputs"].items()}
    return file(page, f"artworks/{job['artworks'][0]['id']}"), given


def file(page: Page, of: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(page.request.get(f"/api/v1/{of}/file").body())).convert("RGB"))


def test_what_is_not_painted_comes_back_bit_for_bit_and_the_mask_stays(open_page: Open) -> None:
    page, given = open_page(), picture()
    page.goto(INPAINTING)
    give(page, given)
    page.get_by_role("button", name="Brush", exact=True).click()
    drag(page, (0.3, 0.5), (0.6, 0.6))
    work, inputs = drawn(page)
    marked = inputs["mask"] > 0
    assert 0.02 < marked.mean() < 0.5 and np.array_equal(inputs["image"], given)
    assert ((inputs["mask"] > 0) & (inputs["mask"] < 255)).mean() > 0, "its edge is soft"
    assert np.array_equal(work[~marked], given[~marked]) and not np.array_equal(work[marked], given[marked])
    again, same = drawn(page)
    assert np.array_equal(same["mask"], inputs["mask"]) and not np.array_equal(again, work)
    page.reload()
    expect(page.locator("#canvas.open canvas")).to_be_visible()
    page.wait_for_timeout(300)
    _, kept = drawn(page)
    assert np.array_equal(kept["mask"], inputs["mask"]), "also when the page is loaded again"


def test_strokes_are_taken_back_and_done_again(open_page: Open) -> None:
    page = open_page()
    page.goto(INPAINTING)
    give(page, picture())
    canvas = page.locator("#canvas canvas")
    undo, redo = (page.locator(f'[data-act="{name}"]') for name in ("undo", "redo"))
    expect(undo).to_have_attribute("aria-disabled", "true")
    drag(page, (0.3, 0.3), (0.4, 0.3))
    _, one = drawn(page)
    page.get_by_role("button", name="Rectangle").click()
    drag(page, (0.5, 0.5), (0.7, 0.7))
    page.get_by_role("button", name="Lasso").click()
    drag(page, (0.2, 0.6), (0.3, 0.9), (0.4, 0.6))
    _, three = drawn(page)
    assert (three["mask"] >= one["mask"]).all() and three["mask"].sum() > 1.5 * one["mask"].sum()
    canvas.press("e")
    drag(page, (0.55, 0.55), (0.65, 0.65))
    _, erased = drawn(page)
    assert erased["mask"].sum() < three["mask"].sum()
    for _ in range(3):
        canvas.press("Control+z")
    _, back = drawn(page)
    assert np.array_equal(back["mask"], one["mask"])
    for _ in range(3):
        canvas.press("Control+y")
    expect(redo).to_have_attribute("aria-disabled", "true")
    _, forth = drawn(page)
    assert np.array_equal(forth["mask"], erased["mask"])
    canvas.press("i")
    _, inverted = drawn(page)
    assert np.array_equal(inverted["mask"], 255 - erased["mask"])
    canvas.press("Delete")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("#problem")).to_contain_text("The mask marks nothing")


def test_it_is_painted_by_keys_alone(open_page: Open) -> None:
    page = open_page()
    page.goto(INPAINTING)
    give(page, picture())
    canvas = page.locator("#canvas canvas")
    canvas.focus()
    for key in ("[", "[", "[", "Enter", "ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#canvas [data-said]")).to_contain_text("Pen up at")
    _, stroke = drawn(page)
    marked = np.argwhere(stroke["mask"][..., 0] > 0)
    assert len(marked) and abs(marked.mean(0) - [48, 64]).max() < 24, "it begins in the middle"
    for key in ("r", "Enter", *["ArrowLeft"] * 4, *["ArrowUp"] * 4, "Enter"):
        canvas.press(key)
    _, both = drawn(page)
    assert (both["mask"] >= stroke["mask"]).all() and both["mask"].sum() > stroke["mask"].sum()


def test_fingers_paint_and_two_of_them_move_the_view(open_page: Open) -> None:
    page = open_page(has_touch=True, viewport={"width": 900, "height": 800})
    page.goto(INPAINTING)
    give(page, picture())
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        found = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(place(page, *point) for point in points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": found})

    fingers("touchStart", (0.4, 0.5))
    fingers("touchMove", (0.5, 0.5))
    fingers("touchEnd")
    _, one = drawn(page)
    assert one["mask"].any()
    fingers("touchStart", (0.4, 0.5))
    fingers("touchStart", (0.4, 0.5), (0.6, 0.5))
    fingers("touchMove", (0.2, 0.5), (0.8, 0.5))
    fingers("touchEnd")
    _, same = drawn(page)
    assert np.array_equal(one["mask"], same["mask"]), "what a finger began is dropped when the second comes"
    fingers("touchStart", (0.4, 0.8))
    fingers("touchMove", (0.6, 0.8))
    fingers("touchEnd")
    _, both = drawn(page)
    added = np.argwhere((both["mask"] > one["mask"])[..., 0])
    assert len(added) and added[:, 0].mean() < 48 + 0.3 * 96, "three times as near, a third as far from the middle"


def test_a_pen_that_presses_hard_paints_wider(open_page: Open) -> None:
    page = open_page()
    page.goto(INPAINTING)
    give(page, picture())
    pen = page.context.new_cdp_session(page)
    widths = []
    for y, force in ((0.3, 0.1), (0.7, 1.0)):
        for kind, x in (("mousePressed", 0.3), ("mouseMoved", 0.5), ("mouseReleased", 0.5)):
            left, top = place(page, x, y)
            event = {"type": kind, "x": left, "y": top, "force": force, "pointerType": "pen", "button": "left"}
            pen.send("Input.dispatchMouseEvent", {**event, "buttons": int(kind != "mouseReleased"), "clickCount": 1})
        _, inputs = drawn(page)
        widths.append(int((inputs["mask"] > 0).sum()))
    assert widths[1] - widths[0] > 1.5 * widths[0]


def test_colours_are_painted_over_the_picture_which_stays(open_page: Open) -> None:
    page, given = open_page(), picture()
    page.goto(INPAINTING)
    give(page, given)
    page.get_by_role("button", name="Rectangle").click()
    drag(page, (0.4, 0.4), (0.6, 0.6))
    page.get_by_label("Colour", exact=True).check()
    page.get_by_label("Colour of the brush").fill("#0000ff")
    drag(page, (0.2, 0.2), (0.3, 0.3))
    _, inputs = drawn(page)
    changed = (inputs["image"] != given).any(-1)
    assert 0 < changed.mean() < 0.1
    assert (np.abs(inputs["image"][changed].astype(int) - [0, 0, 255]).max(-1) == 0).mean() > 0.6
    page.locator("#canvas canvas").press("Delete")
    _, cleared = drawn(page)
    assert np.array_equal(cleared["image"], given) and np.array_equal(cleared["mask"], inputs["mask"])


def test_a_picture_is_cropped_and_turned_with_its_mask_and_back(open_page: Open) -> None:
    page, given = open_page(), picture()
    page.goto(INPAINTING)
    give(page, given)
    canvas = page.locator("#canvas canvas")
    drag(page, (0.45, 0.5), (0.55, 0.5))
    _, before = drawn(page)
    page.get_by_role("button", name="Turn by a quarter").click()
    _, turned = drawn(page)
    assert np.array_equal(turned["image"], np.rot90(given, -1))
    assert np.abs(turned["mask"].astype(int) - np.rot90(before["mask"], -1)).max() <= 1
    page.get_by_role("button", name="Crop").click()
    drag(page, (0.3, 0.3), (0.7, 0.8))
    _, cropped = drawn(page)
    height, width = cropped["image"].shape[:2]
    assert cropped["mask"].shape == cropped["image"].shape and height < 128 and width <= 96
    rows = [
        cropped["image"].tobytes()
        == np.ascontiguousarray(np.rot90(given, -1)[top : top + height, left : left + width]).tobytes()
        for top in range(129 - height)
        for left in range(97 - width)
    ]
    assert any(rows), "its pixels are those of the picture"
    for _ in range(2):
        canvas.press("Control+z")
    _, back = drawn(page)
    assert np.array_equal(back["image"], given) and np.array_equal(back["mask"], before["mask"])


def test_the_frame_is_drawn_out(open_page: Open) -> None:
    page, given = open_page(), picture()
    page.goto(OUTPAINTING)
    give(page, given)
    canvas = page.locator("#canvas canvas")
    box = canvas.bounding_box()
    assert box
    scale = min(0.7 * box["width"] / 128, 0.7 * box["height"] / 96)
    edge = 0.5 + 64 * scale / box["width"]
    drag(page, (edge, 0.5), (edge + 20 * scale / box["width"], 0.5))
    expect(page.get_by_label("Right")).to_have_value("20")
    page.get_by_label("Top").fill("8")
    work, _ = drawn(page)
    assert work.shape == (104, 148, 3) and np.array_equal(work[8:, :128], given)


def test_what_is_transparent_or_another_picture_becomes_the_mask(open_page: Open) -> None:
    page = open_page()
    page.goto(INPAINTING)
    clear = np.dstack([picture(), np.full((96, 128), 255, np.uint8)])
    clear[20:40, 30:50, 3] = 0
    give(page, clear)
    page.get_by_role("button", name="Mask what is transparent").click()
    _, inputs = drawn(page)
    expected = np.zeros((96, 128), np.uint8)
    expected[20:40, 30:50] = 255
    assert np.array_equal(inputs["mask"][..., 0], expected)
    page.get_by_text("Mask from a picture").click()
    give(page, np.dstack([255 - expected] * 3), "mask")
    page.wait_for_timeout(500)
    _, other = drawn(page)
    assert np.array_equal(other["mask"][..., 0], 255 - expected)
    give(page, np.zeros((8, 8, 3), np.uint8), "mask")
    expect(page.locator("#canvas [data-problem]")).to_have_text("The mask has 8 x 8 pixels, the picture 128 x 96")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_window_in_both_themes_for_everyone(open_page: Open, scheme: str) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto(INPAINTING)
    give(page, picture())
    drag(page, (0.4, 0.5), (0.6, 0.5))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_a_hundred_steps_are_fifty_that_can_be_taken_back(open_page: Open) -> None:
    page = open_page()
    page.goto("/create")
    found = page.evaluate(
        """async () => {
            const { History } = await import("/static/js/canvas/history.js");
            let value = 0;
            const history = new History(() => {});
            const step = (bytes) => {
                value += 1;
                history.add({ undo: () => (value -= 1), redo: () => (value += 1), bytes });
            };
            for (let i = 0; i < 100; i++) step(1);
            for (let i = 0; i < 60; i++) history.undo();
            const low = value;
            for (let i = 0; i < 60; i++) history.redo();
            for (let i = 0; i < 4; i++) step(100 << 20);
            return [low, value, history.done.length];
        }"""
    )
    assert found == [50, 104, 2], "and no more than memory allows"
