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
from torch import nn

from models.contract.card import CheckpointError
from models.contract.pipelines import (
    ARCHITECTURES,
    INDEX,
    check_configuration,
    lacking,
    networks_of,
    parts_of,
    read_json,
)
from models.contract.safetensors_header import check_header, read_header
from models.pretrained.load import BROKEN, TYPES, left_out, packages

SCALED = ("scale_weight", "weight_scale", "scale_input", "scaled_fp8")  # names of what goes with some weights of 8 bits


def spread(folder: Path, weights: Path) -> None:
    """Put the weights of a file where the parts of the pipeline have them, and delete it. Raises CheckpointError."""
    index = read_json(folder, INDEX)
    name = str(index.get("_class_name"))
    if name not in ARCHITECTURES:
        return  # the index is looked through next, and says so
    for part in parts_of(index):  # the packages would take some of their own
        check_configuration(folder, part)
    check_header(weights)
    tensors, _ = read_header(weights)
    if scaled := next((name for name in tensors if name.endswith(SCALED)), None):
        raise CheckpointError("{name} scales weights in a way that is not known here", name=scaled[:200])
    kind = getattr(packages()["diffusers"], name)
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    wanted = lacking(folder)
    try:
        there = {part: empty(folder, part, *index[part]) for part in networks_of(parts_of(index)) if part not in wanted}
        pipeline = kind.from_single_file(
            str(weights),
            config=str(folder),
            local_files_only=True,
            torch_dtype=main_type(tensors),
            **there,
            **left_out(kind, index),
        )
        for part in wanted:
            getattr(pipeline, part).save_pretrained(folder / part, safe_serialization=True)
    except (*BROKEN, SingleFileComponentError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError("the pipeline cannot be opened ({reason})", reason=reason) from error
    weights.unlink()


def empty(folder: Path, part: str, library: str, name: str) -> nn.Module:
    """A network in the shape of a part whose weights are there already: it takes no memory."""
    kind: Any = getattr(packages()[library], name)
    place = str(folder / part)
    with torch.device("meta"):
        if library == "diffusers":
            return kind.from_config(kind.load_config(place, local_files_only=True))
        return kind(kind.config_class.from_pretrained(place, local_files_only=True))


def main_type(tensors: dict[str, Any]) -> torch.dtype | None:
    """That of most numbers; None is float32."""
    found = Counter[str]()
    for entry in tensors.values():
        found[entry["dtype"]] += math.prod(entry["shape"])
    return TYPES.get(found.most_common(1)[0][0])
