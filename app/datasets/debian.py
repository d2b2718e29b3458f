"""Fetches files of public Debian packages, pinned by version and SHA-256, on systems that have apt."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.datasets.packages import FetchError, run, verified


@dataclass(frozen=True)
class DebianPackage:
    """One pinned package; `sha256` is that of its .deb file."""

    name: str
    version: str
    sha256: str
    license: str
    attribution: str

    @property
    def spec(self) -> str:
        return f"{self.name}={self.version}"


def fetch_debian(package: DebianPackage, cache: Path, look: Callable[[], None] = lambda: None) -> Path:
    """Download, verify and unpack a package into `cache`; returns its folder. A second call does no network.

    Nothing is installed and no rights are needed. `look` is called meanwhile and may raise, to leave. Raises FetchError
    where there is no apt, when no archive can be reached, or when the package differs from the pinned hash.
    """
    folder = cache / f"debian__{package.name}__{package.version.replace(':', '_')}"
    if folder.is_dir():
        return folder
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise FetchError(f"{package.name} is a Debian package; this system has no apt to fetch it with")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        place = Path(temporary)
        said = download(package, place, look)
        file = verified(place, "*.deb", package, "apt", said)
        unpacked = place / "unpacked"
        code, said = run(["dpkg-deb", "-x", str(file), str(unpacked)], place, look)
        if code:
            raise FetchError(f"{package.spec} could not be unpacked: {said.strip()[-500:]}")
        unpacked.rename(folder)
    return folder


def download(package: DebianPackage, place: Path, look: Callable[[], None]) -> str:
    """Put the .deb into a folder, by the system's package lists or, where these are missing, by own ones; what was
    said."""
    wanted = ["download", "-qq", "-o", "APT::Sandbox::User=", package.spec]
    code, said = run(["apt-get", *wanted], place, look)
    if not code:
        return said
    (place / "lists" / "partial").mkdir(parents=True)
    (place / "archives" / "partial").mkdir(parents=True)
    own = ["-o", f"Dir::State::lists={place / 'lists'}", "-o", f"Dir::Cache={place / 'archives'}"]
    run(["apt-get", "update", "-qq", "-o", "APT::Sandbox::User=", *own], place, look)
    return run(["apt-get", *wanted, *own], place, look)[1]
