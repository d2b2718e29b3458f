"""What the page of a run proposes for its publication, and what it warns of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import count
from typing import Any

from app.training_runs.schemas import TrainingRunOut
from models.contract.family import Family
from models.contract.message import Message

LONGEST = 56  # characters of a name, so that a number fits behind
BETTER_THAN_CHANCE = 3.0  # times, that the right picture has to be among the ten nearest


def name_for(run: TrainingRunOut, taken: Collection[str]) -> str:
    """The name that it has, else one after its title, or its family where that has no Latin letters."""
    if run.model:
        return run.model
    plain = unicodedata.normalize("NFKD", run.name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST].strip("-") or run.family
    return next(name for n in count(1) if (name := words if n == 1 else f"{words}-{n}") not in taken)


def caution(run: TrainingRunOut, family: Family | None, figures: dict[str, Any]) -> Message | None:
    """Why artists may be disappointed, by its figures, or without any by its steps."""
    if kernel := figures.get("kernel_distance_x1000"):
        if kernel["drawn"] > kernel["noise"] / 2:
            return Message("By its figures, it draws hardly anything but noise.")
        if kernel["drawn"] > kernel["blurred"]:
            return Message("By its figures, blurred copies would be nearer to the pictures that it learnt from.")
        return None
    if seen := figures.get("retrieval_seen"):
        chance = figures["retrieval_over"]["chance_R@10"]
        if seen["R@10"] < BETTER_THAN_CHANCE * chance and chance * BETTER_THAN_CHANCE < 1:
            return Message("By its figures, its pictures hardly show what a prompt asks for.")
        return None
    shortest = min((preset.steps for preset in family.presets), default=0) if family else 0
    if run.progress.step < shortest and not run.params.get("start_from"):
        return Message(
            "It has trained for {steps} steps, the shortest preset for {preset}: what it makes may be only noise.",
            steps=run.progress.step,
            preset=shortest,
        )
    return None
