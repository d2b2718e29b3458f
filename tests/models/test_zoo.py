"""Every checkpoint that ships loads with the code beside it, and does all that its family does."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from models.contract.card import ZOO, read_card
from models.contract.registry import families
from models.contract.sampling import Request, as_pictures

NAMES = [folder.name for folder in sorted(ZOO.iterdir()) if families()[read_card(folder)["family"]].tasks]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_checkpoint_draws(name: str) -> None:
    family = families()[read_card(ZOO / name)["family"]]
    assert family.sampler
    sampler = importlib.import_module(family.sampler).load(ZOO / name, torch.device("cpu"))
    for task in family.tasks:
        params = task.params(**({"prompt": "a red fox"} if "prompt" in task.params.model_fields else {}))
        given = {
            each.role: as_pictures([np.full((48, 64, 3), 40 * i, np.uint8) for i in range(each.least)])
            for each in task.inputs
        }
        (made,) = sampler.sample([Request(task.name, params, 1, given)], lambda *_: None)
        assert made.pixels.ndim == 3 and made.pixels.std() > 0
