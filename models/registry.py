"""Finds families by their `spec.py` files. Torch-free: the web process lists models without loading one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from models.base import Family


@cache
def families() -> dict[str, Family]:
    """Every family of every folder under `models/` that has a spec.py with FAMILIES."""
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.ispkg and (Path(__file__).parent / module.name / "spec.py").exists():
            spec = importlib.import_module(f"models.{module.name}.spec")
            found |= {family.name: family for family in spec.FAMILIES}
    return found
