"""Shows the styles that prompts may end with, as a model draws them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from models.contract.registry import families
from models.contract.sampling import Request
from models.contract.tasks import TEXT_TO_IMAGE
from models.measure.prompted import sampled

SUBJECT = "an apple"


def in_every_style(folder: Path, card: dict[str, Any], published: Path) -> Image.Image:
    """One subject in each style of the card, from left to right: squares."""
    family = families()[card["family"]]
    assert family.sampler is not None
    task = next(task for task in family.tasks if task.name == TEXT_TO_IMAGE)
    sampler = importlib.import_module(family.sampler).load(folder, torch.device("cpu"), published)
    prompts = [SUBJECT + style["en"] for style in card["styles"]]
    asked = [Request(task.name, task.params.model_validate({"prompt": prompt}), 0) for prompt in prompts]
    drawn = sampled(sampler, asked)
    return Image.fromarray(np.concatenate(list(drawn.permute(0, 2, 3, 1).numpy()), 1))
