"""A training run in a terminal: a progress bar and a line a log, and the same as TensorBoard event files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from models.contract.run_folder import RunFolder

LOOK_SECONDS = 0.5
LEFT_OUT = ("seconds", "learning_rate", "data_share", "saving_share", "memory_mib", "epoch")  # of a terminal's line
Sink = Callable[[dict[str, Any]], None]


def follow(folder: RunFolder, start: Callable[[], subprocess.Popen[bytes]], bar: bool, tensorboard: Path | None) -> int:
    """Start the run's process and show what it does until it has ended; returns the exit code.

    Without a `bar` the process speaks for itself. `tensorboard` is a folder for event files.
    """
    offset = folder.metrics.stat().st_size if folder.metrics.exists() else 0
    with ExitStack() as stack:
        sinks: list[Sink] = []
        advance: Callable[[dict[str, Any]], None] = lambda said: None  # noqa: E731
        if bar:
            sink, advance = stack.enter_context(progress_bar())
            sinks.append(sink)
        if tensorboard:
            sinks.append(stack.enter_context(event_files(tensorboard, folder)))
        process = stack.enter_context(start())
        stack.callback(process.terminate)  # also when showing it fails; nothing once it has ended
        while True:
            ended = process.poll() is not None
            for after, line in folder.lines(offset):
                offset = after
                for sink in sinks:
                    sink(line)
            advance(folder.progress())
            if ended:
                return process.returncode
            time.sleep(LOOK_SECONDS)


@contextmanager
def progress_bar() -> Iterator[tuple[Sink, Sink]]:
    """(prints a line of the curves, moves the bar to what the run last said)."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(None),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console) as shown:
        task = shown.add_task("starting", total=1.0)

        def advance(said: dict[str, Any]) -> None:
            words = [str(said.get("phase", "starting"))]
            if "step" in said:
                words.append(f"step {said['step']:,} of {said['steps']:,}")
            shown.update(task, description=", ".join(words), completed=said.get("progress", 0.0))

        def line(metrics: dict[str, Any]) -> None:
            chosen = {name.replace("_", " "): value for name, value in metrics.items() if name not in LEFT_OUT}
            console.print("  ".join(f"{name} {value}" for name, value in chosen.items()))

        yield line, advance


@contextmanager
def event_files(place: Path, folder: RunFolder) -> Iterator[Sink]:
    """Writes scalars as they come, and sample sheets. Raises ModuleNotFoundError without tensorboardX."""
    import numpy as np
    from PIL import Image
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(place), flush_secs=5) as writer:
        written = {step for step, _ in folder.sheets()}

        def write_sheets() -> None:
            for step, sheet in folder.sheets():
                if step not in written:
                    written.add(step)
                    with Image.open(sheet) as picture:
                        writer.add_image("samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

        def line(metrics: dict[str, Any]) -> None:
            for name, value in metrics.items():
                if name not in ("step", "seconds"):
                    writer.add_scalar(name, value, metrics["step"])
            write_sheets()

        yield line
        write_sheets()
