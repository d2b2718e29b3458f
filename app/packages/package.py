"""Public packages, pinned by version and SHA-256; knows nothing of what is inside them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from models.contract.files import WRITING, locked
from models.contract.message import MessageError

PATIENCE_SECONDS = 600.0


class FetchError(MessageError):
    """A package could not be fetched, or is not the one that was pinned."""


@dataclass(frozen=True)
class Package:
    """One pinned package; `sha256` is that of the file which its registry gives out."""

    joint: ClassVar[str]

    name: str
    version: str
    sha256: str
    license: str
    attribution: str

    @property
    def spec(self) -> str:
        return f"{self.name}{self.joint}{self.version}"


def kept(folder: Path, check_cancelled: Callable[[], None], get: Callable[[Path], Path]) -> Path:
    """`folder`, which `get(an empty place)` makes if it is not there; whoever asks meanwhile waits for the same."""
    if folder.is_dir():
        return folder
    try:
        with locked(folder, PATIENCE_SECONDS, check_cancelled):
            if not folder.is_dir():
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=WRITING) as place:
                    get(Path(place)).rename(folder)
    except TimeoutError as error:
        raise FetchError("{name} is already being fetched, which takes a while", name=folder.name) from error
    return folder


def verified(place: Path, pattern: str, package: Package, by: str, said: str) -> Path:
    """The one file that was fetched. Raises FetchError where there is none, or its hash is not the pinned one."""
    files = list(place.glob(pattern))
    if len(files) != 1:
        raise FetchError(
            "{by} could not fetch {package}: {reason}", by=by, package=package.spec, reason=said.strip()[-500:]
        )
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise FetchError(
            "{package} has SHA-256 {digest}, expected {expected}",
            package=package.spec,
            digest=digest,
            expected=package.sha256,
        )
    return files[0]


def run(command: list[str], folder: Path, check_cancelled: Callable[[], None]) -> tuple[int, str]:
    """(exit code, what it said); killed with all that it started when it takes too long or `check_cancelled` raises."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, start_new_session=True)
        try:
            while process.poll() is None:
                check_cancelled()
                if time.monotonic() > deadline:
                    raise FetchError(
                        "{command} took more than {seconds:.0f} s",
                        command=" ".join(command[-2:]),
                        seconds=PATIENCE_SECONDS,
                    )
                time.sleep(0.05)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        return process.returncode, said.read().decode("utf-8", "replace")
