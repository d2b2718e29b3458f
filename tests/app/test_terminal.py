"""A run in a terminal: the bar, and the same as TensorBoard event files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.terminal.progress import follow
from models.contract.run_folder import RunFolder

RUN = """
import sys, time
from pathlib import Path
from PIL import Image
from models.training.run import Run
run = Run(Path(sys.argv[1]), steps=3, echo=False)
run.beat("preparing")
done, _ = run.restore()
for step in run.budget.steps_from(done):
    run._done = step + 1
    run.log.write(step + 1, loss=4.0 / (step + 1), held_out_loss_pair=1.0 * (step + 1))
    run.beat("training")
    time.sleep(0.7)
run.folder.keep_samples(3, Image.new("RGB", (8, 8), "red"))
sys.exit(130)
"""


def test_a_run_is_shown_and_exported_as_event_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.samples.mkdir(parents=True)
    folder.keep_samples(0, Image.new("RGB", (8, 8)))
    command = [sys.executable, "-c", RUN, str(folder.path)]
    assert follow(folder, lambda: subprocess.Popen(command), bar=True, tensorboard=tmp_path / "events") == 130
    said = capsys.readouterr().err
    assert "loss 2.0" in said and "held out loss pair 3.0" in said and "step 3 of 3" in said
    (events,) = (tmp_path / "events").iterdir()
    content = events.read_bytes()
    assert events.name.startswith("events.out.tfevents")
    assert content.count(b"held_out_loss_pair") == 3 and content.count(b"\x89PNG") == 1
