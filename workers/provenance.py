"""What a work says of how it was made: enough to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from app.generations import enlarging
from app.media import Kept
from app.version import VERSION
from models.contract.sampling import Output, Request
from workers import model_cache


def provenance(
    *,
    model: str,
    checkpoint_sha256: str,
    request: Request,
    params: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Mapping[str, Any]]],
    enlarge: Mapping[str, Any],
    kept: Kept,
    output: Output,
    batch: int = 1,
) -> dict[str, Any]:
    """Of one work of a job. `params` have all defaults resolved; it was sampled together with `batch` - 1 others."""
    return {
        "generator": "danqing",
        "version": VERSION,
        "model": model,
        "task": request.task,
        "checkpoint_sha256": checkpoint_sha256,
        "params": params,
        **({"subject": subject} if (subject := request.params.subject()) else {}),
        **({"inputs": inputs} if inputs else {}),
        **({"enlarge": enlarging.said(enlarge)} if enlarge else {}),
        "seed": output.alone.get("seed", request.seed),
        "position": request.index,
        **({"width": kept.width, "height": kept.height} if kept.width else {}),
        "torch": str(torch.__version__),
        "device": model_cache.device().type,
        "batch": batch,
        **output.facts,
        **({"alone": output.alone} if output.alone else {}),
    }


def portable(made: dict[str, Any]) -> dict[str, Any]:
    """As a file tells it that may go anywhere: what it was made from by content, not by the studio's ids."""
    if not (inputs := made.get("inputs")):
        return made
    named = {role: [{"sha256": each["sha256"]} for each in found] for role, found in inputs.items()}
    return {**made, "inputs": named}
