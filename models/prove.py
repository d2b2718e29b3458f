"""Loads a checkpoint as a worker would, and says why it cannot: `python -m models.prove FOLDER`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch

from models.card import CheckpointError, read_card
from models.checkpoint import read_weights
from models.registry import families


def prove(folder: Path) -> None:
    """Raises CheckpointError."""
    card = read_card(folder)
    family = families()[card["family"]]
    try:
        if family.sampler:
            importlib.import_module(family.sampler).load(folder, torch.device("cpu"))
        else:
            read_weights(folder / "model.safetensors", card["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the card does not describe the weights ({error})") from error


if __name__ == "__main__":
    try:
        prove(Path(sys.argv[1]))
    except CheckpointError as error:
        sys.exit(str(error))
