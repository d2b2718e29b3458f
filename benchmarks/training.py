"""What a training run costs beside its forward and backward passes, and how quickly it obeys."""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table

from app.datasets.prepared import Item, write_prepared
from app.training_runs.planning import trainable
from benchmarks.threads import all_cores
from models.checkpoint import ZOO, read_card
from models.contract.run_folder import RunFolder
from models.contract.values import PICTURES
from models.data.pictures import Collection, open_collection
from models.training import gauge
from models.training.log import Log
from models.training.optimizers import muon_and_adamw, split_parameters
from models.training.run import Run
from models.training.schedule import mixed_precision
from models.transformer.network import TextToImageTransformer
from models.transformer.spec import TransformerTraining
from models.transformer.train import train
from tests.integration.test_training_runs import FOREVER, collect, launch, run_of
from tests.studio import Studio, wait_until

STEPS, WARM, ROUNDS = 48, 24, 3
PARAMS = TransformerTraining(batch_size=64, views=2)
STYLES = ("ink", "oil")


def pictures(folder: Path, side: int = 64) -> Collection:
    """A thousand: each thing in two styles, one in twenty things held out."""
    random = np.random.default_rng(0)
    items = [
        (
            Item(f"{i}", f"{i // 2}", f"{i}", STYLES[i % 2], split(i // 2), "", "", [f"thing {i // 2}"]),
            random.integers(0, 255, (side, side, 3), dtype=np.uint8),
        )
        for i in range(1000)
    ]
    write_prepared(folder, items, {"name": "bench"})
    return open_collection(folder)


def split(thing: int) -> str:
    return "held_out" if thing % 20 == 19 else "train"


def bare_step() -> float:
    """Mean seconds of forward, backward and optimizer step alone, on one batch that is there already."""
    torch.manual_seed(0)
    network = TextToImageTransformer(PARAMS.network)
    optimizers = muon_and_adamw(
        *split_parameters(network, "encoder.", "decoder."), muon_lr=0.02, adamw_lr=3e-3, weight_decay=0.01
    )
    shape = (PARAMS.batch_size, PARAMS.network.grid**2)
    images = torch.randint(PARAMS.network.image_vocabulary, shape)
    tokens = torch.randint(300, (PARAMS.batch_size, PARAMS.network.prompt_length))
    sentences = torch.randn(PARAMS.batch_size, PARAMS.network.sentence_width)
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        with mixed_precision(torch.device("cpu")):
            logits = network(images, tokens, sentences)
        F.cross_entropy(logits.float().flatten(0, 1), images.flatten()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - began)
    return statistics.mean(times[WARM:])


class SeldomLog(Log):
    """Logs about as seldom as that of a run of many thousand steps."""

    def is_due(self, done: int, every: int = 50) -> bool:
        return done % WARM == 0


def long_run(folder: Path) -> Run:
    run = Run(folder, steps=STEPS, checkpoint_seconds=1e9, echo=False)
    run.log = SeldomLog(run.folder, run.budget, run.device, echo=False)
    return run


def loop(table: Table) -> None:
    """A real run against its bare steps, by turns; the shares of time that its own log says."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = pictures(folder / "bench")
        ratios, waiting, saving = [], [], []
        for turn in range(ROUNDS):
            bare = bare_step()
            run = long_run(folder / f"run{turn}")
            train(PARAMS, data, run)
            curves = RunFolder(run.path).curves()
            ratios.append(PARAMS.batch_size / curves["images_per_second"][-1][1] / bare)
            waiting.append(curves["data_share"][-1][1])
            tensors = run.restore()[1]
            began = time.perf_counter()
            run.save(STEPS, tensors)
            saving.append((time.perf_counter() - began) / run.budget.checkpoint_seconds)
    torch.set_num_threads(threads)
    table.add_row("training: step over its bare passes", f"{statistics.median(ratios) - 1:+.1%}", "at most 5 %")
    table.add_row("training: share of time waiting for data", f"{statistics.median(waiting):.2%}", "under 2 %")
    table.add_row("training: share of time saving", f"{statistics.median(saving):.2%}", "under 2 %")


def estimating(table: Table) -> None:
    """Pictures a second of every family's defaults over this machine's speed, against what estimates start from; of
    those that learn from pictures.
    """
    cards = {folder.name: read_card(folder) for folder in ZOO.iterdir()}
    with all_cores(), tempfile.TemporaryDirectory() as temporary:
        for family in (each for each in trainable().values() if each.learns == PICTURES):
            assert family.training and family.trainer and family.cost
            params = family.training()
            side = family.picture_size(params, cards.__getitem__) if family.picture_size else 64
            run = long_run(Path(temporary) / family.name)
            speed = gauge.speed(run.device)
            data = pictures(Path(temporary) / f"pictures{side}", side)
            importlib.import_module(family.trainer).train(params, data, run)
            rate, said = run.log.last["images_per_second"], family.cost(params).items_per_second
            table.add_row(
                f"{family.name}: pictures/s over the speed of this machine ({speed:.2f})",
                f"{rate / speed:.0f}",
                f"{said:.0f}, as estimated",
            )


def cancelling(studio: Studio, table: Table) -> None:
    """From the request to a run that has ended."""
    client: httpx.Client = studio.client("trainer", "admin")
    studio.start("training")
    dataset = collect(client)
    times = []
    for _ in range(3):
        run = launch(client, dataset, steps=FOREVER)
        wait_until("training", lambda run=run: run_of(client, run)["progress"]["step"] > 3, 300)
        began = time.perf_counter()
        client.post(f"/training-runs/{run}/cancellation")
        wait_until("the end", lambda run=run: run_of(client, run)["status"] == "cancelled")
        times.append(time.perf_counter() - began)
    studio.kill("training")
    table.add_row("cancel: request to the end of the run", f"{statistics.median(times):.2f} s", "under 2 s")
