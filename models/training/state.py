"""States of a run on disk: each appears whole, with its hash, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.checkpoint import CheckpointError
from models.contract.files import WRITING
from models.contract.message import MessageError

KEEP = 2  # newest states on disk, besides the best


class NotSaved(MessageError):
    """A state could not be written. The ones before it stay."""


def folder_of(states: Path, step: int) -> Path:
    return states / f"step-{step:08d}"


def write(states: Path, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write a state; `facts` are kept beside it. Raises NotSaved when the disk is full or fails."""
    final = folder_of(states, step)
    temporary = final.with_name(f"{WRITING}{step}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        weights = temporary / "state.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, weights)
        card = {**facts, "step": step, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
        (temporary / "state.json").write_text(json.dumps(card), "utf-8")
        for path in (weights, temporary / "state.json", temporary):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except (OSError, SafetensorError) as error:
        raise NotSaved(
            "the checkpoint of step {step} could not be written ({reason})", step=step, reason=error
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """(facts, tensors) of a state whose hash holds; None for a broken one."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        card = json.loads((folder / "state.json").read_text("utf-8"))
        weights = folder / "state.safetensors"
        if hashlib.sha256(weights.read_bytes()).hexdigest() == card["sha256"]:
            return card, load_file(weights)
    return None


def newest(states: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The newest state that is whole; None for a new run."""
    found = (read(folder) for folder in sorted(states.glob("step-*"), reverse=True))
    return next((state for state in found if state), None)


def prune(states: Path, best: int | None) -> None:
    """Keep the newest ones and the best."""
    for old in sorted(states.glob("step-*"))[:-KEEP]:
        if best is None or old != folder_of(states, best):
            shutil.rmtree(old)


# --- modules and optimizers as flat tensors -------------------------------------------------------------------------

Part = nn.Module | torch.optim.Optimizer


def pack(**parts: Part) -> dict[str, Tensor]:
    """All tensors of modules and optimizers under `name/...` keys, for safetensors.

    What an optimizer keeps of a weight goes by the weight's name in the modules that are packed with it: a run resumes
    exactly also where layers are declared in another order by then.
    """
    tensors: dict[str, Tensor] = {}
    names = weight_names(parts)
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            tensors |= {f"{name}/{key}": value for key, value in part.state_dict().items()}
        else:
            weights = weights_of(part)
            for index, state in part.state_dict()["state"].items():
                of = names.get(weights[index], str(index))
                tensors |= {f"{name}/{of}/{key}": torch.as_tensor(value) for key, value in state.items()}
    return {key: value.detach().clone() for key, value in tensors.items()}


def unpack(tensors: dict[str, Tensor], **parts: Part) -> None:
    """The reverse of `pack`. Raises CheckpointError for what an earlier version of the modules has packed."""
    names = weight_names(parts)
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        if isinstance(part, nn.Module):
            if own.keys() != part.state_dict().keys():
                raise CheckpointError("this run saved its {name} with an earlier version; start a new run", name=name)
            part.load_state_dict(own)
        else:
            state: dict[int, dict[str, Tensor]] = {}
            weights = weights_of(part)
            index_of = {names.get(weight, ""): index for index, weight in enumerate(weights)}
            for key, value in own.items():
                of, _, entry = key.rpartition("/")
                index = int(of) if of.isdigit() else index_of.get(of)  # earlier states have numbers
                if index is None:
                    raise CheckpointError(
                        "this run's saved {name} has state for {of}, which no longer exists; start a new run",
                        name=name,
                        of=of,
                    )
                state.setdefault(index, {})[entry] = laid_out_as(weights[index], value)
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})


def weights_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def weight_names(parts: dict[str, Part]) -> dict[nn.Parameter, str]:
    """`module.name` of every weight of the modules."""
    modules = [(name, part) for name, part in parts.items() if isinstance(part, nn.Module)]
    return {weight: f"{name}.{key}" for name, module in modules for key, weight in module.named_parameters()}


def laid_out_as(weight: Tensor, value: Tensor) -> Tensor:
    """In the memory layout of the weight that it belongs to: fused optimizers read both as they lie there."""
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
