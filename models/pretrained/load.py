"""Opens a pipeline of the package diffusers from its folder; nothing is fetched from anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import not_finite
from models.contract.card import CheckpointError, read_card, weights_of
from models.contract.pipelines import ARCHITECTURES, INDEX, UNUSED, read_json

MISSING = "pretrained pipelines need more packages here: make pretrained"


def open_pipeline(folder: Path, device: torch.device) -> tuple[Any, dict[str, Any]]:
    """(pipeline, card). Half precision on a GPU. Raises CheckpointError."""
    card = read_card(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the package is imported
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise CheckpointError(MISSING) from error
    for package in (diffusers, transformers):
        package.utils.logging.set_verbosity_error()
        package.utils.logging.disable_progress_bar()
    architecture = ARCHITECTURES[card["config"]["architecture"]]
    half = torch.bfloat16 if architecture.flows else torch.float16
    settings = {
        "dtype": half if device.type == "cuda" else torch.float32,
        "use_safetensors": True,
        "local_files_only": True,
        "variant": variant_of(card),
    }
    kind = getattr(diffusers, card["config"]["architecture"])
    absent = {part for part, named in read_json(folder, INDEX).items() if named == [None, None]}
    unused = dict.fromkeys(absent | UNUSED & set(kind._optional_components))
    try:
        pipeline = kind.from_pretrained(str(folder), **settings, **unused)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError("the pipeline cannot be opened ({reason})", reason=reason) from error
    for name, part in parts_of(pipeline).items():
        if not_finite(part.state_dict()):
            raise CheckpointError("the weights of {part} hold NaN or infinite numbers", part=name)
        part.requires_grad_(False).eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device), card


def parts_of(pipeline: Any) -> dict[str, torch.nn.Module]:
    """Its networks by name."""
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def variant_of(card: dict[str, Any]) -> str | None:
    """The word in the names of weights of which there are no others, as in `model.fp16.safetensors`."""
    names = [name.rsplit("/", 1)[-1].removesuffix(".safetensors") for name in weights_of(card)]
    words = {name.split(".")[1].split("-")[0] for name in names if "." in name}
    return words.pop() if len(words) == 1 and all("." in name for name in names) else None
