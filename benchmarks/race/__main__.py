"""Races text-to-image candidates at equal minutes: `python -m benchmarks.race data/race --until 60`.

A minute of a candidate is as many pictures as it trains on in a minute with nothing beside it, measured once,
before the race: other work then takes nothing from anyone. Whoever has trained least has the next turn, so that
a race that is cut off leaves all of them equally far, and goes on from there. Learning rates stay flat:
nobody's end is near. At every mark the averaged weights are written as a checkpoint and asked the questions of
`models.measure.questions` with the first seed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from models.checkpoint import read_card, write_model
from models.contract.card import AUTOENCODER
from models.contract.recipe import read_recipe
from models.contract.registry import families
from models.contract.run_folder import RunFolder
from models.diffusion.network import FlowTransformer
from models.diffusion.spec import FlowTraining
from models.masked.network import MaskedTransformer
from models.masked.spec import MaskedTraining
from models.training import state
from models.transformer.network import TextToImageTransformer
from models.transformer.spec import TransformerTraining

RECIPES = Path(__file__).parent
CANDIDATES = ("latents", "masked", "next-token", "hourglass", "pixels-8", "pixels-4")
NETWORKS = {
    "flow-transformer": lambda params: FlowTransformer(params.network),
    "masked-transformer": lambda params: MaskedTransformer(params.network),
    "text-to-image-transformer": lambda params: TextToImageTransformer(params.network),
}
GAUGED, WARM_UP, BATCH = 250, 2, 64  # steps and measurements left out; images a step, of every candidate
Training = FlowTraining | MaskedTraining | TransformerTraining


def steps_of(run: Path) -> int:
    """Trained so far, as the newest whole state says."""
    found = sorted((run / "checkpoints").glob("step-*/state.json"))
    return json.loads(found[-1].read_text("utf-8"))["step"] if found else 0


def speeds(folder: Path, datasets: Path, names: Sequence[str]) -> dict[str, float]:
    """Steps a minute of each candidate. The machine must be idle while they are measured, which is kept."""
    kept = folder / "speeds.json"
    known: dict[str, float] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for name in names:
        if name not in known:
            train(name, folder, datasets, GAUGED)
            lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text("utf-8").splitlines()]
            rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
            known[name] = 60 * statistics.median(rates[WARM_UP:]) / BATCH
            kept.write_text(json.dumps(known, indent=1), "utf-8")
    return known


def train(name: str, folder: Path, datasets: Path, until: int) -> None:
    """Train a candidate until it has done so many steps; it saves and stops."""
    run = RunFolder(folder / name)
    command = [sys.executable, "-m", "models.training.process", str(RECIPES / f"{name}.toml"), str(run.path)]
    command += ["--datasets", str(datasets), "--checkpoints", str(folder / "checkpoints")]
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                time.sleep(2)
                if run.progress().get("phase") == "training" and run.progress()["step"] >= until:
                    process.send_signal(signal.SIGTERM)
                    process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait()
    if process.returncode not in (0, 130):
        raise SystemExit(f"{name} failed; see {log.name}")


def export(name: str, folder: Path, out: Path) -> None:
    """The averaged weights of the newest state as a checkpoint."""
    recipe = read_recipe(RECIPES / f"{name}.toml")
    training = families()[recipe.family].training
    assert training is not None
    params = training.model_validate(recipe.params)
    newest = state.newest(folder / name / "checkpoints")
    assert newest is not None
    network = NETWORKS[recipe.family](params)
    state.unpack(newest[1], ema=network)
    card = {"family": recipe.family, "config": params.network.model_dump(), "steps": newest[0]["step"]}
    card |= {"collection": recipe.collection, "title": name, "seconds": newest[0]["seconds"]}
    if autoencoder := getattr(params, "autoencoder", None):
        sha256 = read_card(folder / "checkpoints" / autoencoder)["sha256"]
        card["builds_on"] = [{"role": AUTOENCODER, "name": autoencoder, "sha256": sha256}]
    text = (folder / name / "tokenizer.json").read_text("utf-8")
    write_model(out, network.eval(), card, {"tokenizer.json": text})


def judge(name: str, folder: Path, datasets: Path, mark: float, seeds: int) -> None:
    out = folder / "marks" / f"{name}-{mark:g}"
    if (out / "figures.json").exists():
        return
    model = folder / "marks" / f"{name}-{mark:g}-model"
    if not model.exists():
        export(name, folder, model)
    command = [sys.executable, "-m", "models.measure.questions", str(model), "--seeds", str(seeds), "--out", str(out)]
    command += ["--datasets", str(datasets), "--checkpoints", str(folder / "checkpoints")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    parser.add_argument("--until", type=float, default=60, help="minutes of each")
    parser.add_argument("--turn", type=float, default=10, help="minutes of a turn")
    parser.add_argument("--marks", type=float, nargs="*", default=[10, 30, 60, 120, 180])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--candidates", nargs="*", default=list(CANDIDATES))
    arguments = parser.parse_args()
    os.nice(10)
    folder = arguments.folder
    speed = speeds(folder, arguments.datasets, arguments.candidates)
    print({name: f"{each * BATCH / 60:.0f} images/s" for name, each in speed.items()}, flush=True)
    while True:
        trained = {name: steps_of(folder / name) / speed[name] for name in arguments.candidates}
        name = min(arguments.candidates, key=lambda name: round(trained[name], 1))
        if trained[name] >= arguments.until - 0.05:
            break
        marks = [mark for mark in arguments.marks if mark > trained[name] + 0.05]
        until = min([trained[name] + arguments.turn, arguments.until, *marks[:1]])
        print(f"{time.strftime('%H:%M')} {name} {trained[name]:.1f} -> {until:.1f} minutes", flush=True)
        train(name, folder, arguments.datasets, round(until * speed[name]))
        if marks and until >= marks[0]:
            judge(name, folder, arguments.datasets, marks[0], arguments.seeds)


if __name__ == "__main__":
    main()
