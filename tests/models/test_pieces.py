"""One process, two processes, a batch in pieces: the same loss curve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.contract.run_folder import RunFolder
from models.training import parallel
from models.training.recovery import TooLarge, train_with_rollback
from models.training.run import Run
from models.training.state import pack
from tests.models.test_training import (
    GAN_SMALL,
    KL_SMALL,
    MIXING_SMALL,
    PROMPTED_GAN_SMALL,
    STYLE_SMALL,
    TRANSFORMER_SMALL,
    TRANSLATION_SMALL,
    VAE_SMALL,
    collection,
)
from tests.studio import ROOT

__all__ = ["collection"]  # the fixture
FAMILIES = {
    "kl-autoencoder": (KL_SMALL, "l1"),
    "text-to-image-transformer": (TRANSFORMER_SMALL, "loss"),
    "gan": (GAN_SMALL, "loss_discriminator"),
    "vae": (VAE_SMALL, "loss"),
    "mixing-vae": (MIXING_SMALL, "loss"),
    "style-transfer": (STYLE_SMALL, "style_distance"),
    "unpaired-translation": (TRANSLATION_SMALL, "contrastive"),
    "text-to-image-gan": (PROMPTED_GAN_SMALL, "mismatch_real"),
}

# In bfloat16 maps of other batches differ in their last digit, which Adam's first steps, of equal size, make more of.
ROUNDED = {"style-transfer": 5e-3, "unpaired-translation": 1e-3, "text-to-image-gan": 1e-3}


def train(folder: Path, family: str, dataset: Path, *options: str, processes: int = 1) -> list[float]:
    """The losses of six steps with a batch of five, which shares out unevenly."""
    params, loss = FAMILIES[family]
    folder.mkdir()
    recipe = folder / "recipe.json"
    recipe.write_text(
        json.dumps(
            {
                "family": family,
                "collection": str(dataset),
                "steps": 6,
                "evaluate": False,
                "params": {**params.model_dump(mode="json"), "batch_size": 5},
            }
        )
    )
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "models.training.process", str(recipe), str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0 and (folder / "model" / "card.json").exists(), done.stderr
    return [value for _, value in RunFolder(folder).curves()[loss]]


@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_and_a_batch_in_pieces_follow_the_curve_of_one(
    family: str, collection: Any, tmp_path: Path
) -> None:
    one = train(tmp_path / "one", family, collection.folder)
    assert len(one) == 6 and len(set(one)) > 3
    near = ROUNDED.get(family, 2e-4)
    assert train(tmp_path / "two", family, collection.folder, processes=2) == pytest.approx(one, rel=near)
    assert train(tmp_path / "pieces", family, collection.folder, "--pieces", "4") == pytest.approx(one, rel=near)


def test_shares_cover_a_batch_once_whatever_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for processes in (1, 2, 3, 8):
        for batch in (1, 5, 16):
            for pieces in (1, 2, 16):
                monkeypatch.setattr(parallel, "world", lambda count=processes: count)
                seen: list[int] = []
                for rank in range(processes):
                    monkeypatch.setattr(parallel, "rank", lambda number=rank: number)
                    seen += [i for share in parallel.shares(batch, pieces) for i in range(batch)[share]]
                assert seen == list(range(batch))


def test_memory_that_runs_out_makes_smaller_pieces_from_the_last_checkpoint_on(tmp_path: Path) -> None:
    tried: list[tuple[int, int]] = []

    class Params:
        batch_size = 8

    def train(params: object, data: object, run: Run) -> None:
        done, _ = run.restore()
        for step in run.budget.steps_from(done):
            tried.append((step, run.pieces))
            if run.pieces < 4 and step == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            run.save(step + 1, {"x": torch.zeros(1)})

    train_with_rollback(train, Params(), None, Run(tmp_path / "fits", steps=4, echo=False))
    assert tried == [(0, 1), (1, 1), (2, 1), (2, 2), (2, 4), (3, 4)]
    again = Run(tmp_path / "fits", steps=4, echo=False)
    assert again.restore()[0] == 4 and again.pieces == 4

    def never(params: object, data: object, run: Run) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(TooLarge, match="one picture at a time"):
        train_with_rollback(never, Params(), None, Run(tmp_path / "never", steps=4, echo=False))


def test_a_run_ends_by_its_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, steps=1000, minutes=1, echo=False)
    clock = iter(range(0, 100000, 10))
    monkeypatch.setattr("models.training.run.time.monotonic", lambda: float(next(clock)))
    run.restore()
    done = 0
    for step in run.budget.steps_from(0):
        done = step + 1
        if run.budget.checkpoint_is_due(done):
            run.save(done, {"x": torch.zeros(1)})
    assert 0 < done < 20 and run.restore()[0] == done and run.progress(done) == 1.0


def test_slow_steps_are_logged_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, steps=100_000, echo=False)
    now = [0.0]
    monkeypatch.setattr("models.training.run.time.monotonic", lambda: now[0])
    run.log.start(0)
    due = []
    for done in range(1, 8):
        now[0] += 4
        if run.log.is_due(done):
            run.log.step(done, batch=1)
            due.append(done)
    assert due == [3, 6] and not run.log.is_due(7) and run.log.is_due(50)


def test_a_run_ends_when_its_held_out_figure_gets_no_better_and_shows_the_best(tmp_path: Path) -> None:
    figures = [5.0, 4.0, 3.0, 3.5, 3.2, 3.4, 1.0]

    def train(run: Run) -> int:
        done, _ = run.restore()
        for step in run.budget.steps_from(done):
            done = step + 1
            if run.log.is_due(done, every=2):  # as a trainer does, before it measures
                run.log.step(done, 4, loss=1.0)
            if run.budget.measure_is_due(done, every=1):
                run.log.write(done, held_out_loss=figures[step])
                run.report_metric(done, figures[step])
            if run.budget.checkpoint_is_due(done):
                ema.bias.data.fill_(done)
                run.save(done, pack(ema=ema))
        return done

    ema = torch.nn.Linear(1, 1)
    run = Run(tmp_path, steps=1000, patience=3, echo=False)
    assert train(run) == 6
    assert run.result(6, ema) == (3, {"held_out_loss": 3.0}) and ema.bias.item() == 3
    again = Run(tmp_path, steps=1000, patience=3, echo=False)
    assert train(again) == 6, "a resumed run is over too, and trains no further"
    assert again.result(6, ema) == (3, {"held_out_loss": 3.0})
    patient = Run(tmp_path, steps=7, patience=4, echo=False)
    assert train(patient) == 7 and patient.result(7, ema) == (7, {"held_out_loss": 1.0})
    assert ema.bias.item() == 7
    assert Run(tmp_path, steps=7).restore()[0] == 7


def test_memory_that_runs_out_in_one_of_several_processes_is_left_to_who_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "world", lambda: 2)

    def train(params: object, data: object, run: Run) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    run = Run(tmp_path, steps=4, echo=False)
    with pytest.raises(torch.OutOfMemoryError):
        train_with_rollback(train, None, None, run)
    assert run.pieces == 1


def test_curves_leave_out_what_a_run_went_back_from(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for line in ({"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0, "held_out": 9.0}, {"step": 3, "loss": 1.0}):
        folder.append(line)
    (offset, _), *_ = folder.lines()
    folder.append({"step": 2, "loss": 2.5})
    with folder.metrics.open("a") as lines:
        lines.write('{"step": 3, "lo')
    assert folder.curves() == {"loss": [(1, 3.0), (2, 2.5)], "held_out": []}
    assert [line["step"] for _, line in folder.lines(offset)] == [2, 3, 2]
