"""Fetches files of public Debian packages, pinned by version and SHA-256, on systems that have apt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from app.packages.package import FetchError, Package, kept, run, verified


class DebianPackage(Package):
    joint = "="


def fetch_debian(package: DebianPackage, cache: Path, check_cancelled: Callable[[], None] = lambda: None) -> Path:
    """Download, verify and unpack a package into `cache`; returns its folder. A second call does no network.

    Nothing is installed and no rights are needed. `check_cancelled` is called meanwhile and may raise, to leave. Raises
    FetchError where there is no apt, when no archive can be reached, or when the package differs from the pinned hash.
    """

    def get(place: Path) -> Path:
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise FetchError(
                "{package} is a Debian package; this system has no apt to fetch it with", package=package.name
            )
        said = download(package, place, check_cancelled)
        file = verified(place, "*.deb", package, "apt", said)
        code, said = run(["dpkg-deb", "-x", str(file), str(place / "unpacked")], place, check_cancelled)
        if code:
            raise FetchError(
                "{package} could not be unpacked: {reason}", package=package.spec, reason=said.strip()[-500:]
            )
        return place / "unpacked"

    return kept(cache / f"debian__{package.name}__{package.version.replace(':', '_')}", check_cancelled, get)


def download(package: DebianPackage, place: Path, check_cancelled: Callable[[], None]) -> str:
    """Put the .deb into a folder, by the system's package lists or, where these are missing, by own ones; what was
    said."""
    wanted = ["download", "-qq", "-o", "APT::Sandbox::User=", package.spec]
    code, said = run(["apt-get", *wanted], place, check_cancelled)
    if not code:
        return said
    (place / "lists" / "partial").mkdir(parents=True)
    (place / "archives" / "partial").mkdir(parents=True)
    own = ["-o", f"Dir::State::lists={place / 'lists'}", "-o", f"Dir::Cache={place / 'archives'}"]
    run(["apt-get", "update", "-qq", "-o", "APT::Sandbox::User=", *own], place, check_cancelled)
    return run(["apt-get", *wanted, *own], place, check_cancelled)[1]
