"""A training run as a process of its own: `python -m models.training.process RECIPE FOLDER`. Killable, resumable.

Under torchrun several of them train as one. Exit codes: 0 done, 130 stopped and saved, 1 failed, 2 used wrongly, 75
another process has the folder. The folder's `progress.json` says the same, which torchrun's own exit code hides.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import ZOO, CheckpointError, quantize
from models.contract.files import is_full, locked
from models.contract.fine_tuning import START, marked, validated
from models.contract.message import Message, MessageError
from models.contract.recipe import read_recipe, remember
from models.contract.registry import families
from models.contract.run_folder import OUT_OF_MEMORY, describe
from models.data.pictures import Unsuitable
from models.data.prepared import Prepared, open_prepared
from models.measure.effort import seconds_after
from models.measure.evaluation import measure
from models.training import parallel, signals
from models.training.recovery import TooLarge, is_out_of_memory, train_with_rollback
from models.training.run import Diverged, Run, Stopped
from models.training.start import cards
from models.training.state import NotSaved

IN_USE = 75
LOCK_SECONDS = 60.0  # how long to wait for an earlier process of this run to end


class UsedWrongly(MessageError):
    """The recipe, or the folder, does not fit."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train by a recipe; SIGTERM or Ctrl-C saves and stops.")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="cpu")
    parser.add_argument("--datasets", type=Path, default=Path("data/datasets"))
    parser.add_argument("--checkpoints", type=Path, default=ZOO, help="where checkpoints to build on are looked for")
    parser.add_argument("--collection", help="another collection than the recipe's")
    parser.add_argument("--steps", type=int, help="another number of steps than the recipe's")
    parser.add_argument("--minutes", type=float, help="stop after so much training")
    parser.add_argument("--start-from", help="checkpoint whose weights it starts with")
    parser.add_argument("--pieces", type=int, default=1, help="parts that a batch is worked on in, to save memory")
    parser.add_argument("--parent", type=int, help="stop when this process has ended")
    return parser.parse_args()


def evaluate(data: Prepared, run: Run) -> None:
    """Put what can be measured of the model into its card; the model stays a good one where that fails."""
    run.finish()
    run.beat("evaluating", progress=1.0)
    run.log.say("measuring")
    try:
        seconds = seconds_after(run.budget.seconds)
        for name, value in measure(run.folder.model, data, run.published, seconds).items():
            print(f"{name}: {value}", file=sys.stderr, flush=True)
    except Stopped:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        print(f"not measured: {reason}", file=sys.stderr, flush=True)
        describe(run.folder.model / "card.json", {"not_measured": reason})


def train(arguments: argparse.Namespace, run: Run) -> None:
    """Read the recipe and train by it."""
    try:
        recipe = read_recipe(arguments.recipe, arguments.size)
    except FileNotFoundError as error:
        raise UsedWrongly("There is no recipe {path}", path=arguments.recipe) from error
    except KeyError as error:
        raise UsedWrongly("The recipe has no size {name}", name=error) from error
    except ValueError as error:
        raise UsedWrongly("The recipe is not valid: {reason}", reason=error) from error
    try:
        family = families().get(recipe.family)
        if family is None or family.training is None or family.trainer is None:
            raise ValueError(f"no family {recipe.family!r} is trained")
        if arguments.collection:  # the recipe's words and prompts are of its own collection
            recipe.collection = arguments.collection
            for name in marked(family.training, "of_collection"):
                recipe.params.pop(name, None)
        if arguments.start_from:
            recipe.params[START] = arguments.start_from
        data = open_prepared(arguments.datasets / recipe.collection)
        if arguments.collection:
            recipe.card = {"title": data.card.get("title", data.card["name"])}
        params: Any = validated(family.training, recipe.params, cards(run))
        if recipe.patience and not family.supports_early_stopping(params):
            raise ValueError("a run sharpened by a discriminator never plateaus: give steps or minutes")
    except FileNotFoundError as error:
        raise UsedWrongly(
            "{path} is missing; fetch the collection first: danqing dataset fetch NAME", path=error.filename
        ) from error
    except ValueError as error:
        raise UsedWrongly("The recipe is not valid: {reason}", reason=error) from error
    run.budget.steps, run.seed = arguments.steps or recipe.steps, recipe.seed
    run.budget.minutes, run.budget.patience = arguments.minutes or recipe.minutes, recipe.patience
    settings = {"family": family.name, "collection_version": data.card["version"], **params.model_dump(mode="json")}
    if changed := remember(run.path / "run.json", settings, family.training) if run.is_first else []:
        raise UsedWrongly(
            "The run in {path} has a different {parts}; choose another folder", path=run.path, parts=", ".join(changed)
        )
    run.beat("preparing")
    train_with_rollback(importlib.import_module(family.trainer).train, params, data, run)
    run.budget.stop_clock()
    if run.is_first:
        if recipe.quantize:
            quantize(run.folder.model)
        describe(run.folder.model / "card.json", recipe.card)
        if recipe.evaluate:
            evaluate(data, run)
        run.beat("done", progress=1.0)


def main() -> int:
    arguments = options()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else None
    if device:
        torch.cuda.set_device(device)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    os.nice(10)  # whoever draws comes first
    parallel.join(device or torch.device("cpu"))
    run = Run(
        arguments.folder,
        steps=1,
        published=arguments.checkpoints,
        device=device or torch.device("cpu"),
        pieces=arguments.pieces,
    )
    signals.on_signals(run.stop)
    if arguments.parent:
        signals.stop_with(arguments.parent)
    try:
        with locked(arguments.folder, LOCK_SECONDS) if run.is_first else nullcontext():
            parallel.wait()
            train(arguments, run)
    except Stopped as stopped:
        print(f"{stopped}; the same command goes on from there", file=sys.stderr)
        return 130
    except TimeoutError:
        print(f"another process trains in {arguments.folder}", file=sys.stderr)  # its own words stay
        return IN_USE
    except UsedWrongly as error:
        return failed(run, error.message, 2)
    except Diverged as error:
        return failed(
            run,
            Message("{reason}, even with half the learning rate; the last good checkpoint stays", reason=error.message),
        )
    except Unsuitable as error:
        return failed(run, error.message, 2)
    except (CheckpointError, NotSaved, TooLarge) as error:
        return failed(run, error.message)
    except OSError as error:
        if not is_full(error):
            raise
        return failed(run, Message("the disk is full; the last good checkpoint stays"))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        run.folder.say(phase=OUT_OF_MEMORY)  # whichever of several processes it is
        print("out of memory", file=sys.stderr)
        return 1
    finally:
        parallel.leave()
    return 0


def failed(run: Run, reason: Message, code: int = 1) -> int:
    with suppress(OSError):  # on a full disk neither may be possible
        print(reason, file=sys.stderr)
    with suppress(OSError):
        run.beat("failed", reason=reason.to_json())
    return code


if __name__ == "__main__":
    parallel.end(main())
