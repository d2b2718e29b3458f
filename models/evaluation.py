"""Measures a checkpoint of the zoo: `python -m models.evaluation NAME`; --write puts the figures into its card.

Each family says in its folder what is measured (`models/<family>/evaluate.py`); this is the command around it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

import torch
from PIL import Image

from models.checkpoint import ZOO, CheckpointError, read_card
from models.data import open_collection
from models.registry import families


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure a checkpoint again.")
    parser.add_argument("name")
    parser.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    parser.add_argument(
        "--write", action="store_true", help="put figures and contact sheet into the checkpoint's folder"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    folder = ZOO / arguments.name
    try:
        card = read_card(folder)
        module = families()[card["family"]].evaluator
        if module is None:
            print(f"nothing is measured of {card['family']}", file=sys.stderr)
            return 2
        data = open_collection(arguments.datasets / card["collection"])
        if data.card["version"] != card["collection_version"]:
            print("The collection is of another version than the one of the training", file=sys.stderr)
        figures, sheet = importlib.import_module(module).evaluate(folder, data)
    except (CheckpointError, FileNotFoundError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    if arguments.write:
        Image.fromarray(sheet).save(folder / "samples.png", optimize=True)
        text = json.dumps({**card, "figures": figures}, ensure_ascii=False, indent=1) + "\n"
        (folder / "card.json").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
