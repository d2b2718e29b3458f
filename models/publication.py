"""Makes a checkpoint a model that artists see: `python -m models.publication FOLDER CHECKPOINTS NAME`.

The weights are read (safetensors only, hashes held, finite) and loaded into their architecture before anything is kept.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from models.base import Family
from models.checkpoint import ZOO, CheckpointError, read_card, read_weights
from models.folders import whole_folder
from models.registry import families

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def publish(folder: Path, checkpoints: Path, name: str, replace: bool = False) -> Path:
    """Copy the checkpoint in `folder` to `checkpoints/name`; it appears whole or not at all. Raises CheckpointError."""
    if not NAME.fullmatch(name) or len(name) > 60:
        raise CheckpointError("a name has small letters, digits and single hyphens, at most 60")
    target = checkpoints / name
    if not replace and (target.exists() or (ZOO / name).exists()):
        raise CheckpointError(f"there is a checkpoint {name} already")
    card = read_card(folder)
    family = families().get(card["family"])
    if family is None:
        raise CheckpointError(f"no family here is called {card['family']!r}")
    with whole_folder(target) as temporary:
        for file in ["card.json", "model.safetensors", *card.get("files", {})]:
            copy(folder, temporary, file)
        if (sheet := contact_sheet(folder)) is not None:
            shutil.copyfile(sheet, temporary / "samples.png")
        prove(temporary, family, card)
    return target


def prove(folder: Path, family: Family, card: dict[str, Any]) -> None:
    """Load it as a worker would."""
    try:
        if family.sampler:
            importlib.import_module(family.sampler).load(folder, torch.device("cpu"))
        else:
            read_weights(folder / "model.safetensors", card["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the card does not describe the weights ({error})") from error


def copy(folder: Path, into: Path, name: str) -> None:
    source = folder / name
    if not PLAIN.fullmatch(name) or source.is_symlink() or not source.is_file():
        raise CheckpointError(f"the checkpoint's file {name!r} is missing")
    shutil.copyfile(source, into / name)


def contact_sheet(folder: Path) -> Path | None:
    """The checkpoint's own, or the last samples of the run that it lies in."""
    for path in [folder / "samples.png", *sorted((folder.parent / "samples").glob("*.png"), reverse=True)]:
        if path.is_file() and not path.is_symlink():
            with suppress(SyntaxError, ValueError, OSError), Image.open(path, formats=["PNG"]) as sheet:
                sheet.verify()
                return path
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a checkpoint a model that artists see.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("name")
    parser.add_argument("--replace", action="store_true")
    arguments = parser.parse_args()
    try:
        target = publish(arguments.folder, arguments.checkpoints, arguments.name, arguments.replace)
        if not families()[read_card(target)["family"]].tasks:
            print("It draws nothing by itself; other models may build on it", file=sys.stderr)
        print(target)
    except CheckpointError as error:
        print(f"danqing: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
