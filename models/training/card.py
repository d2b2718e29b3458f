"""What every card says of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.checkpoint import read_card
from models.training.run import Run


def training_card(
    family: str,
    params: Any,
    collection: dict[str, Any],
    run: Run,
    result: tuple[int, dict[str, float]],
    before: Path | None,
) -> dict[str, Any]:
    """`result` is the run's: (step, held-out figures); `before` is the checkpoint that it started from.

    `params` has the network's own parameters under `network`; `collection` is the card of what was trained on.
    """
    step, figures = result
    return {
        "family": family,
        "config": params.network.model_dump(),
        "training": params.model_dump(),
        "steps": step,
        "seconds": round(run.budget.seconds),
        "collection": collection["name"],
        "collection_version": collection["version"],
        **({"pixel_art": True} if collection.get("pixel_art") else {}),
        "figures": figures,
        **origin(before),
    }


def origin(checkpoint: Path | None) -> dict[str, Any]:
    """Of the checkpoint before: its steps and seconds add to those of what is trained on from it."""
    if checkpoint is None:
        return {}
    card = read_card(checkpoint)
    return {"started_from": {key: card[key] for key in ("sha256", "steps", "seconds", "started_from") if key in card}}
