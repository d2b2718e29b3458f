"""A training run as a process of its own: `python -m models.training_process RECIPE FOLDER`. Killable, resumable."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import ZOO, CheckpointError
from models.data import open_collection
from models.registry import families
from models.training import Diverged, NotSaved, Run, Stopped, train_with_rollback


def read_recipe(path: Path, size: str) -> dict[str, Any]:
    """The recipe with its `[size.<size>]` table merged over the common part. Raises KeyError for an unknown size."""
    recipe = tomllib.loads(path.read_text("utf-8"))
    sizes = recipe.pop("size")
    own = sizes[size]
    return {**recipe, **own, "params": {**recipe.get("params", {}), **own.get("params", {})}}


def describe(path: Path, words: dict[str, Any]) -> None:
    """Put the recipe's own words (title, licence, ...) into the card of what it trained."""
    card = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**card, **words}, ensure_ascii=False, indent=1) + "\n", "utf-8")


def remember(path: Path, settings: dict[str, Any]) -> list[str]:
    """Keep a run's settings beside it; names of those that differ from what an earlier sitting kept."""
    if path.exists():
        kept = json.loads(path.read_text("utf-8"))
        return sorted(key for key in {*kept, *settings} if kept.get(key) != settings.get(key))
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=1), "utf-8")
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description="Train by a recipe; SIGTERM or Ctrl-C saves and stops.")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="cpu")
    parser.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    parser.add_argument(
        "--checkpoints", type=Path, default=ZOO, help="where checkpoints to build on are looked for first"
    )
    parser.add_argument("--collection", help="another collection than the recipe's")
    parser.add_argument("--steps", type=int, help="another number of steps than the recipe's")
    arguments = parser.parse_args()
    try:
        recipe = read_recipe(arguments.recipe, arguments.size)
        family = families()[recipe["family"]]
        assert family.training is not None and family.trainer is not None
        data = open_collection(arguments.datasets / (arguments.collection or recipe["collection"]))
        if arguments.collection:  # the recipe's words and prompts are of its own collection
            recipe["card"] = {"title": data.card.get("title", data.card["name"])}
            recipe["params"].pop("watched", None)
        params = family.training.model_validate(recipe["params"])
    except FileNotFoundError as error:
        print(f"{error.filename} is missing; fetch the collection first: danqing dataset fetch NAME", file=sys.stderr)
        return 1
    except (KeyError, ValueError) as error:
        print(f"The recipe is not valid: {error}", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(os.cpu_count() or 1)
    os.nice(10)  # whoever draws comes first
    run = Run(
        arguments.folder,
        steps=arguments.steps or recipe["steps"],
        seed=recipe.get("seed", 0),
        published=arguments.checkpoints,
        device=device,
    )
    run.stop_on_signals()
    settings = {"family": family.name, "collection_version": data.card["version"], **params.model_dump(mode="json")}
    if changed := remember(arguments.folder / "run.json", settings):
        print(f"The run in {arguments.folder} has another {', '.join(changed)}; choose another folder", file=sys.stderr)
        return 2
    try:
        train_with_rollback(importlib.import_module(family.trainer).train, params, data, run)
        describe(arguments.folder / "model" / "card.json", recipe.get("card", {}))
    except (CheckpointError, NotSaved) as error:
        print(error, file=sys.stderr)
        return 1
    except Diverged as error:
        print(f"{error}, also with half the learning rate; the last good checkpoint stays", file=sys.stderr)
        return 1
    except Stopped as stopped:
        print(f"{stopped}; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
