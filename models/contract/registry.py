"""Finds families by their `spec.py` files. Torch-free: the web process lists models without loading one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from models.contract.family import Family

MODELS = Path(__file__).parents[1]


@cache
def families() -> dict[str, Family]:
    """Every family of every folder under `models/` that has a spec.py with FAMILIES."""
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules([str(MODELS)]):
        if module.ispkg and (MODELS / module.name / "spec.py").exists():
            spec = importlib.import_module(f"models.{module.name}.spec")
            found |= {family.name: family for family in spec.FAMILIES}
    return found
