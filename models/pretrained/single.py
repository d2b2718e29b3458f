"""One file of weights, as Stable Diffusion and others were first given away, becomes a pipeline's folder.

What such a file does not say, configurations and tokenizers, lies beside it, and so may weights of parts that it does
not hold; nothing is fetched.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from models.contract.card import CheckpointError
from models.contract.pipelines import (
    ARCHITECTURES,
    INDEX,
    check_configuration,
    check_weights,
    files_of,
    lacking,
    parts_of,
    read_json,
    refuse_pickles,
)
from models.contract.safetensors_header import read_header
from models.pretrained.load import BROKEN, TYPES, packages, reason_of

# How names of tensors begin, and those of the parts that they belong to; all others are of what draws.
PARTS = {"first_stage_model.": "vae", "vae.": "vae"}
PARTS |= dict.fromkeys(("cond_stage_model.", "conditioner.", "text_encoders."), "text_encoder")
DENOISERS = ("unet", "transformer")


def spread(folder: Path, weights: Path) -> None:
    """Put the weights of a file where the parts of the pipeline have them, and delete it. Raises CheckpointError."""
    refuse_pickles(folder, files_of(folder))  # the packages read them where there is nothing else
    index = read_json(folder, INDEX)
    if index.get("_class_name") not in ARCHITECTURES:
        return  # the index is looked through next, and says so
    for part in parts_of(index):  # the packages would take some of their own
        check_configuration(folder, part)
    check_weights(weights)
    tensors, _ = read_header(weights)
    for part in lacking(folder):
        network = taken_out(folder, weights, part, index[part], main_type(part, tensors))
        network.save_pretrained(folder / part, safe_serialization=True)
    weights.unlink()


def taken_out(folder: Path, weights: Path, part: str, named: list[str], dtype: torch.dtype) -> Any:
    """The network of a part, as the file holds it. Raises CheckpointError, by name where it does not."""
    packages()
    from diffusers import pipelines
    from diffusers.loaders.single_file import load_single_file_sub_model
    from diffusers.loaders.single_file_utils import SingleFileComponentError, load_single_file_checkpoint

    try:
        return load_single_file_sub_model(
            library_name=named[0],
            class_name=named[1],
            name=part,
            checkpoint=load_single_file_checkpoint(str(weights), local_files_only=True),
            pipelines=pipelines,
            is_pipeline_module=False,
            cached_model_config_path=str(folder),
            local_files_only=True,
            torch_dtype=dtype,
        )
    except (SingleFileComponentError, OSError) as error:
        raise CheckpointError("{name} is missing", name=f"{part}/*.safetensors") from error
    except BROKEN as error:
        raise CheckpointError("the pipeline cannot be opened ({reason})", reason=reason_of(error)) from error


def main_type(part: str, tensors: dict[str, Any]) -> torch.dtype:
    """That of most numbers of the file that belong to a part, as far as names tell; else of all of them."""

    def is_of_part(name: str) -> bool:
        return part.startswith(next((PARTS[begin] for begin in PARTS if name.startswith(begin)), DENOISERS))

    own = [entry for name, entry in tensors.items() if is_of_part(name)]
    found = Counter[str]()
    for entry in own or tensors.values():
        found[entry["dtype"]] += math.prod(entry["shape"])
    return TYPES.get(found.most_common(1)[0][0], torch.float32)
