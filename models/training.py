"""What every family's `train(params, data, run)` shares: a run's folder, its budget, its log and exact resume.

A step draws all of its randomness from (seed, step), so that a run which is resumed from step k goes on bit for bit as
one that was never interrupted. Knows nothing of networks, of the queue or of the database.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.checkpoint import ZOO

KEEP = 2  # checkpoints of a run on disk


class Stopped(Exception):
    """The run was asked to stop; its state is saved."""


class Diverged(Exception):
    """The loss is no number any more. Nothing of it was saved."""


class NotSaved(Exception):
    """A checkpoint could not be written. The ones before it stay."""


@dataclass
class Run:
    """One training run in `folder`: `metrics.jsonl`, `samples/`, `checkpoints/step-N/`, and `model/` at the end."""

    folder: Path
    steps: int
    seed: int = 0
    published: Path = ZOO  # where a run looks first for the checkpoints that it builds on
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_seconds: float = 120.0
    rate: float = 1.0  # factor of every learning rate, halved when a run is rolled back
    echo: bool = True
    started: float = field(default_factory=time.monotonic)
    seconds_before: float = 0.0
    _stop: bool = False
    _saved_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        (self.folder / "checkpoints").mkdir(exist_ok=True)

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT end the run at the next step, after a checkpoint."""

        def ask(number: int, frame: FrameType | None) -> None:
            self._stop = True

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)

    @property
    def seconds(self) -> float:
        """Training time so far, over all sittings."""
        return self.seconds_before + time.monotonic() - self.started

    def log(self, step: int, **metrics: float) -> None:
        line = {"step": step, "seconds": round(self.seconds, 1), **{k: round(v, 5) for k, v in metrics.items()}}
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
        if self.echo:
            print(" ".join(f"{k} {v}" for k, v in line.items()), file=sys.stderr, flush=True)

    def watch(self, step: int, loss: Tensor) -> None:
        """Call with every loss, before it reaches the weights. Raises Diverged."""
        if not torch.isfinite(loss):
            raise Diverged(f"the loss of step {step} is {loss.item()}")

    # --- state ------------------------------------------------------------------------------------------------------

    def checkpoint_is_due(self, step: int) -> bool:
        return self._stop or step == self.steps or time.monotonic() - self._saved_at >= self.checkpoint_seconds

    def save(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Write a checkpoint: it appears whole, with its hash, or not at all.

        Raises Stopped when asked to stop, NotSaved when the disk is full or fails.
        """
        try:
            self._write(step, tensors)
        except (OSError, SafetensorError) as error:
            raise NotSaved(f"the checkpoint of step {step} could not be written ({error})") from error
        self._saved_at = time.monotonic()
        for old in sorted((self.folder / "checkpoints").glob("step-*"))[:-KEEP]:
            shutil.rmtree(old)
        if self._stop:
            raise Stopped(f"stopped at step {step}")

    def _write(self, step: int, tensors: dict[str, Tensor]) -> None:
        final = self.folder / "checkpoints" / f"step-{step:08d}"
        temporary = final.with_name(f".writing-{step}")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            weights = temporary / "state.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, weights)
            card = {
                "step": step,
                "seconds": self.seconds,
                "seed": self.seed,
                "rate": self.rate,
                "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            }
            (temporary / "state.json").write_text(json.dumps(card), "utf-8")
            for path in (weights, temporary / "state.json", temporary):
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def restore(self) -> tuple[int, dict[str, Tensor]]:
        """(step, tensors) of the newest checkpoint whose hash holds; (0, {}) for a new run."""
        for folder in sorted((self.folder / "checkpoints").glob("step-*"), reverse=True):
            with contextlib.suppress(OSError, ValueError, KeyError):
                card = json.loads((folder / "state.json").read_text("utf-8"))
                weights = folder / "state.safetensors"
                if hashlib.sha256(weights.read_bytes()).hexdigest() == card["sha256"]:
                    self.seconds_before = card["seconds"]
                    self.rate = min(self.rate, card.get("rate", 1.0))
                    return card["step"], load_file(weights)
        return 0, {}


def train_with_rollback(train: Callable[[Any, Any, Run], None], params: Any, data: Any, run: Run) -> None:
    """Train; after a divergence once more from the last checkpoint with half the learning rate. Raises Diverged."""
    try:
        train(params, data, run)
    except Diverged as error:
        run.rate /= 2
        if run.echo:
            print(f"{error}; back to the last checkpoint, with {run.rate:g} of the learning rate", file=sys.stderr)
        train(params, data, run)


# --- state of modules and optimizers as flat tensors ----------------------------------------------------------------


def pack(**parts: nn.Module | torch.optim.Optimizer) -> dict[str, Tensor]:
    """All tensors of modules and optimizers under `name/...` keys, for safetensors."""
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            tensors |= {f"{name}/{key}": value for key, value in part.state_dict().items()}
        else:
            for index, state in part.state_dict()["state"].items():
                tensors |= {f"{name}/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    return {key: value.detach().clone() for key, value in tensors.items()}


def unpack(tensors: dict[str, Tensor], **parts: nn.Module | torch.optim.Optimizer) -> None:
    """The reverse of `pack`. Raises RuntimeError or KeyError where shapes or names do not fit."""
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        if isinstance(part, nn.Module):
            part.load_state_dict(own)
        else:
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in own.items():
                index, _, entry = key.partition("/")
                state.setdefault(int(index), {})[entry] = value
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})


# --- schedule, precision --------------------------------------------------------------------------------------------


def warmup_stable_decay(step: int, steps: int, warmup: int = 100, decay: float = 0.3) -> float:
    """Factor of the learning rate: linear up, flat, then linear down over the last `decay` of the steps.

    The flat part does not depend on `steps`, so a run can be extended or cut short after the fact (Hu et al., 2024).
    """
    down = (steps - step) / max(1, decay * steps)
    return max(0.0, min(1.0, (step + 1) / warmup, down))


def set_learning_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
            group["lr"] = group["base_lr"] * factor


@cache
def has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported())


@contextlib.contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 autocast where the device has the instructions for it; on other CPUs it is far slower than float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_fast_bfloat16(device)):
        yield


def step_generator(seed: int, step: int) -> torch.Generator:
    """The one source of randomness of a step. Torch's CPU generator keeps 32 bits of a seed, so both are hashed."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1)[0]))


def training_card(family: str, params: Any, collection: dict[str, Any], run: Run) -> dict[str, Any]:
    """What every card says of its training; `params` has the network's own parameters under `network`."""
    return {
        "family": family,
        "config": params.network.model_dump(),
        "training": params.model_dump(),
        "steps": run.steps,
        "seconds": round(run.seconds),
        "collection": collection["name"],
        "collection_version": collection["version"],
    }
