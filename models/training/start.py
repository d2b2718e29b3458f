"""The checkpoints that a run builds on: kept in its folder, and loaded into the network that it trains."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from models.checkpoint import fill, find, opened, read_card
from models.contract.card import AUTOENCODER
from models.contract.files import whole_folder
from models.training import parallel
from models.training.run import Run

PLACE = Path("start")


def pin_checkpoint(name: str, run: Run, place: Path) -> Path:
    """A checkpoint that the run builds on, kept in its folder: it resumes after that was replaced or deleted."""
    copy = run.path / place
    if not copy.exists():
        with whole_folder(copy) as temporary:
            shutil.copytree(find(name, run.published), temporary, dirs_exist_ok=True)
            opened(temporary)  # it may be broken, or being replaced
    return copy


def pin_autoencoder(name: str, run: Run) -> tuple[Path, dict[str, Any]]:
    """(the run's own copy of the autoencoder whose latents it learns, what the run's card says of it)."""
    own = pin_checkpoint(name, run, Path("autoencoder") / name)
    return own, {"builds_on": [{"role": AUTOENCODER, "name": name, "sha256": read_card(own)["sha256"]}]}


def cards(run: Run) -> Callable[[str], dict[str, Any]]:
    """Reads the card of the checkpoint that the run starts from: of its own copy, once there is one."""
    return lambda name: read_card(run.path / PLACE if (run.path / PLACE).exists() else find(name, run.published))


def start_checkpoint(name: str | None, run: Run) -> Path | None:
    """Folder of the run's own copy of the checkpoint that it starts from, if it does. Raises CheckpointError."""
    if name is None:
        return None
    with parallel.first_alone():
        return pin_checkpoint(name, run, PLACE)


def load_start_weights(
    network: nn.Module,
    checkpoint: Path | None,
    labels: Sequence[str] = (),
    by_label: Sequence[str] = (),
    anew: tuple[str, ...] = (),
) -> None:
    """Give a network the weights of a checkpoint, if there is one. Raises CheckpointError.

    Tensors of `by_label` have a row for each of `labels`: the checkpoint's for those that it knows. What begins with
    one of `anew` is of the collection, and stays as it is where the shapes differ.
    """
    if checkpoint is None:
        return
    own, (card, found) = network.state_dict(), opened(checkpoint)
    known = list(card.get("labels", []))
    for name in own.keys() & found.keys() & set(by_label):
        old, found[name] = found[name], own[name].clone()
        for i, label in enumerate(labels):
            if label in known:
                found[name][i] = old[known.index(label)]
    for name in [name for name in own.keys() | found.keys() if name.startswith(anew)] if anew else []:
        if name not in own:
            del found[name]
        elif name not in found or found[name].shape != own[name].shape:
            found[name] = own[name]
    fill(network, found)
