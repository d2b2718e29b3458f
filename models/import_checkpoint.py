"""Makes a checkpoint a model that artists see: `python -m models.import_checkpoint FOLDER CHECKPOINTS NAME`.

The weights are read (safetensors only, hashes held, finite) and loaded into their architecture before anything is kept.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import torch

from models.card import CheckpointError, read_card
from models.checkpoint import read_weights
from models.publication import publish
from models.registry import families


def prove(folder: Path) -> None:
    """Load it as a worker would. Raises CheckpointError."""
    card = read_card(folder)
    family = families()[card["family"]]
    try:
        if family.sampler:
            importlib.import_module(family.sampler).load(folder, torch.device("cpu"))
        else:
            read_weights(folder / "model.safetensors", card["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the card does not describe the weights ({error})") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a checkpoint a model that artists see.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("name")
    parser.add_argument("--replace", action="store_true")
    arguments = parser.parse_args()
    try:
        target = publish(arguments.folder, arguments.checkpoints, arguments.name, arguments.replace, prove=prove)
        if not families()[read_card(target)["family"]].tasks:
            print("It draws nothing by itself; other models may build on it", file=sys.stderr)
        print(target)
    except CheckpointError as error:
        print(f"danqing: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
