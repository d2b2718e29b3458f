"""A pretrained pipeline on the pages: adapters have weights, and a work opens the form as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from shutil import rmtree

import pytest
import torch
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

from models.adopt import adopt
from models.contract.pipelines import make_card
from tests.browser.test_datasets import violations
from tests.studio import Studio
from tests.support import pipelines

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]
Open = Callable[..., Page]
NAME, ADAPTER, OTHER = "tiny-diffusion", "ink-lora", "for-another"


@pytest.fixture(scope="module", autouse=True)
def checkpoints(studio: Studio) -> Iterator[None]:
    place = studio.folder / "data" / "checkpoints"
    make_card(pipelines.build("sd", place / NAME))
    rmtree(place / f"{NAME}-words")
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    for name, width in ((ADAPTER, 32), (OTHER, 48)):
        (place / name).mkdir()
        tensors = {f"{layer}.lora_A.weight": torch.ones(4, width), f"{layer}.lora_B.weight": torch.ones(32, 4)}
        save_file(tensors, place / name / "x.safetensors")
        adopt(place / name)
    yield
    for name in (NAME, ADAPTER, OTHER):
        rmtree(place / name)


def test_an_adapter_gets_a_weight_and_the_form_has_it_again(open_page: Open) -> None:
    page = open_page(viewport={"width": 1366, "height": 900})
    page.goto(f"/create?model={NAME}&task=text-to-image")
    page.get_by_label("Prompt", exact=True).fill("an ink fox by itself")
    page.locator("summary", has_text="More").click()
    expect(page.get_by_label(OTHER)).to_have_count(0)
    page.get_by_label(ADAPTER).fill("0.5")
    page.get_by_label("Steps", exact=True).fill("2")
    page.get_by_role("button", name="Draw", exact=True).click()
    work = page.locator('.job[data-status="succeeded"]', has_text="an ink fox by itself").locator(".works a").first
    expect(work).to_be_visible(timeout=60_000)
    found = page.request.get(f"/api/v1{work.get_attribute('href')}").json()
    (said,) = found["provenance"]["params"]["adapters"]
    assert (said["name"], said["weight"]) == (ADAPTER, 0.5) and len(said["sha256"]) == 64
    page.goto(f"/create?artwork={found['id']}")
    expect(page.get_by_label(ADAPTER)).to_have_value("0.5")
    assert not violations(page)
