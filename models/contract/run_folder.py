"""A run's folder, as whoever watches the run reads it. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.contract.files import write_atomically
from models.contract.samples import PICTURE, PIECES, TEXT, Samples, read_pieces, write_samples
from models.contract.values import Score

OUT_OF_MEMORY = "out of memory"  # a phase: the run is to start anew with smaller pieces
TAIL = 1 << 16  # bytes of the log that are shown at most


@dataclass(frozen=True)
class RunFolder:
    """`metrics.jsonl` (one line a log), `progress.json` (where it is now), `samples/`, `watched.json` (of what),
    `checkpoints/`, `log.txt`.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    # --- written by the run -----------------------------------------------------------------------------------------

    def append(self, line: dict[str, Any]) -> None:
        with self.metrics.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")

    def keep_samples(self, step: int, samples: Samples) -> None:
        write_samples(self.samples / f"{step:08d}", samples)

    def watch(self, prompts: list[str]) -> None:
        """Keep what the pictures of a sheet are of."""
        write_atomically(self.path / "watched.json", json.dumps(prompts, ensure_ascii=False).encode())

    def say(self, **facts: Any) -> None:
        """Replace `progress.json` whole."""
        temporary = self.path / f".progress-{os.getpid()}"
        temporary.write_text(json.dumps(facts), "utf-8")
        os.replace(temporary, self.path / "progress.json")

    # --- read by others ---------------------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """What the run last said; {} before it has said anything."""
        try:
            found: dict[str, Any] = json.loads((self.path / "progress.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def lines(self, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """(offset after the line, line) of every whole line of the metrics from a byte offset on."""
        try:
            with self.metrics.open("rb") as lines:
                lines.seek(offset)
                while (line := lines.readline()).endswith(b"\n"):
                    offset += len(line)
                    try:
                        yield offset, json.loads(line)
                    except ValueError:
                        continue  # torn by a power cut
        except OSError:
            return

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """(step, value) pairs of every metric, without what came after a checkpoint that the run went back to."""
        return curves(line for _, line in self.lines())

    def sheets(self) -> list[tuple[int, Path]]:
        """(step, file) of the sample sheets, pictures or texts, by step."""
        found = self.samples.iterdir() if self.samples.is_dir() else []
        named = (path for path in found if path.suffix in (PICTURE, TEXT) and not path.is_symlink())
        return sorted((int(path.stem), path) for path in named if path.stem.isdigit())

    def covers(self) -> list[int]:
        """Steps of which there is a picture."""
        return [step for step, path in self.sheets() if path.suffix == PICTURE]

    def pieces(self, step: int) -> list[Score]:
        """What the sheet of a step shows the rolls of; none where it is of something else."""
        try:
            return read_pieces(self.samples / f"{step:08d}{PIECES}")
        except (OSError, ValueError):
            return []

    def watched(self) -> list[str]:
        """Prompts of the pictures of a sheet; none where they are from chance, or are not kept."""
        try:
            found: list[str] = json.loads((self.path / "watched.json").read_text("utf-8"))
        except (OSError, ValueError):
            return []
        return found

    def tail(self, size: int = TAIL) -> str:
        """The end of the log, in whole lines."""
        try:
            with self.log.open("rb") as log:
                length = log.seek(0, os.SEEK_END)
                log.seek(max(0, length - size))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return text if length <= size else text.partition("\n")[2]


def describe(path: Path, words: dict[str, Any]) -> None:
    """Put words (title, licence, ...) into a card."""
    card = json.loads(path.read_text("utf-8"))
    text = json.dumps({**card, **words}, ensure_ascii=False, indent=1) + "\n"
    write_atomically(path, text.encode(), 0o644)


def curves(lines: Iterable[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    newest = 0
    for line in lines:
        step = line.get("step")
        if not isinstance(step, int):
            continue
        if step < newest:
            for points in found.values():
                while points and points[-1][0] >= step:
                    points.pop()
        newest = step
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float):
                points = found.setdefault(name, [])
                if points and points[-1][0] == step:
                    points.pop()
                points.append((step, value))
    return found
