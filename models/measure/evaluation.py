"""Measures a checkpoint: `python -m models.measure.evaluation NAME`; --write puts the figures into its card.

Each family says in its folder what is measured (`models/<family>/evaluate.py`); this is the command around it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from models.checkpoint import ZOO, CheckpointError, find, read_card
from models.contract.files import write_atomically
from models.contract.registry import families
from models.contract.samples import SAMPLES, STYLES, write_samples
from models.data.prepared import Prepared, open_prepared
from models.measure.effort import TOO_FEW, effort_for
from models.measure.styles import in_every_style


def measure(folder: Path, data: Prepared, published: Path = ZOO, seconds: float = math.inf) -> dict[str, Any]:
    """Put figures and samples into a checkpoint's folder; returns the figures, {} where none are defined.

    `published` is where the checkpoints that it builds on are looked for. In `seconds` fewer works are measured, and of
    too few there are no figures, which the card then says. Raises CheckpointError, ImportError when the packages of the
    extra `train` are missing.
    """
    card = read_card(folder)
    module = families()[card["family"]].evaluator
    if module is None:
        return {}
    effort = effort_for(data, seconds)
    figures, sheet = importlib.import_module(module).evaluate(folder, data, published, effort)
    write_samples(folder / SAMPLES, Image.fromarray(sheet) if isinstance(sheet, np.ndarray) else sheet, 0o644)
    if card.get("styles"):
        write_samples(folder / STYLES, in_every_style(folder, card, published), 0o644)
    text = json.dumps(
        {
            **{key: card[key] for key in card if key != "not_measured"},
            "figures": {**card.get("figures", {}), **figures},
            **({} if figures else {"not_measured": TOO_FEW}),
        },
        ensure_ascii=False,
        indent=1,
        allow_nan=False,
    )
    write_atomically(folder / "card.json", f"{text}\n".encode(), 0o644)
    return dict(figures)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure a checkpoint again; prints the figures.")
    parser.add_argument("name", help="of a checkpoint that ships or was published, or a folder")
    parser.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    parser.add_argument("--checkpoints", type=Path, default=ZOO)
    parser.add_argument("--collection", help="another one than that of the training: a name, or a folder")
    parser.add_argument("--write", action="store_true", help="put figures and contact sheet into its folder")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        given = Path(arguments.name)
        folder = given if (given / "card.json").exists() else find(arguments.name, arguments.checkpoints)
        card = read_card(folder)
        data = open_prepared(arguments.datasets / (arguments.collection or card["collection"]))
        if data.card["version"] != card["collection_version"]:
            print("The collection is of another version than the one of the training", file=sys.stderr)
        with tempfile.TemporaryDirectory() as temporary:
            place = folder if arguments.write else Path(shutil.copytree(folder, Path(temporary) / folder.name))
            figures = measure(place, data, arguments.checkpoints)
    except (CheckpointError, FileNotFoundError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
