"""What a work says of how it was made: enough to make it again."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from app.version import VERSION
from workers import model_cache


def provenance(
    *,
    model: str,
    task: str,
    checkpoint_sha256: str,
    params: dict[str, Any],
    inputs: dict[str, Any],
    index: int,
    picture: Image.Image,
    metadata: dict[str, Any],
) -> dict[str, Any]:
    """Of the `index`-th picture of a request; `metadata` is what the sampler says of it."""
    return {
        "generator": "danqing",
        "version": VERSION,
        "model": model,
        "task": task,
        "checkpoint_sha256": checkpoint_sha256,
        "params": params,
        **({"inputs": inputs} if inputs else {}),
        "seed": params["seed"] + index,
        "position": index,
        "width": picture.width,
        "height": picture.height,
        "torch": str(torch.__version__),
        "device": model_cache.device().type,
        **metadata,
    }
