"""Loads a checkpoint as a worker would, and says why it cannot, as JSON: `python -m models.prove FOLDER`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import torch

from models.contract.card import CheckpointError, read_card
from models.contract.registry import families

LONGEST = 300  # characters of a reason


def prove(folder: Path) -> None:
    """Raises CheckpointError."""
    card = read_card(folder)
    family = families()[card["family"]]
    try:
        if name := family.sampler or family.loader:
            module = importlib.import_module(name)
            if hasattr(module, "prove"):
                module.prove(folder)
            else:
                module.load(folder, torch.device("cpu"))
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())  # pydantic's has several lines
        raise CheckpointError("the card does not describe the weights ({reason})", reason=reason[:LONGEST]) from error


if __name__ == "__main__":
    try:
        prove(Path(sys.argv[1]))
    except CheckpointError as error:
        sys.exit(json.dumps(error.message.to_json()))
