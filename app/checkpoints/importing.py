"""Checkpoints from files of strangers: put in a folder, looked through, proved, and only then seen by anybody."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, TypeAlias

from app.checkpoints.service import cards, ships
from app.errors import Conflict, Invalid
from app.settings import ROOT, get_settings
from app.zips import Limits, blocks_of, open_archive
from models.contract.adapters import IMAGE_ENCODER
from models.contract.card import WEIGHTS, CheckpointError
from models.contract.files import WRITING, is_relative
from models.contract.message import Message
from models.contract.pipelines import INDEX
from models.contract.publication import publish

Files: TypeAlias = Sequence[tuple[str, "BinaryIO | Path"]]  # by the names that they have where they come from
MAX_FILES, MAX_BYTES = 200, 64 * 2**30  # of an imported checkpoint
NOT_ONE = "{label!r} is not a file of a checkpoint, or appears twice"
ANCHORS = (INDEX, f"{IMAGE_ENCODER}/config.json")  # what folders are known by whose files keep their places
HIDDEN = re.compile(r"(^|/)\.(?!\.)")
TRANSFERS = "transfers"  # in the data folder
PROOF_SECONDS, PROVED_PER_SECOND = 300, 20e6  # bytes, from a slow disk
BLOCK = 1 << 20  # bytes that are copied at once
PACKED = 1100  # times smaller than it is, it may be packed: more than deflate can


def add(
    name: str, files: Sequence[tuple[str, BinaryIO | Path]], replace: bool, words: dict[str, str] | None = None
) -> None:
    """A checkpoint from its files, or from one zip of them, or from weights of another program. Raises Conflict,
    Invalid; nothing is kept then.
    """
    if not replace and name in cards() and not ships(name):
        raise Conflict("There is already a checkpoint {name}", name=name)
    with tempfile.TemporaryDirectory(dir=get_settings().data, prefix=WRITING) as temporary:
        folder = Path(temporary) / "checkpoint"
        folder.mkdir()
        try:
            collect(folder, files)
            if adopted := not (folder / "card.json").exists():
                if not find_spec("torch"):
                    raise CheckpointError("weights of another program can be imported only where torch is installed")
                apart("models.adopt", folder)
            checkpoints = get_settings().data / "checkpoints"
            publish(folder, checkpoints, name, replace, words, prove=prove, is_adopted=adopted)
        except CheckpointError as error:
            raise Invalid(
                "The checkpoint cannot be imported: {reason}", reason=error.message, errors=[{"loc": ["body", "files"]}]
            ) from error


def prove(folder: Path) -> None:
    """Load it as a worker would. Where no torch is installed, the first worker that loads it will tell. Raises
    CheckpointError.
    """
    if find_spec("torch"):
        apart("models.prove", folder)


def apart(module: str, folder: Path) -> None:
    """Run what needs torch in a process of its own: this one has none. Raises CheckpointError."""
    command = [sys.executable, "-m", module, str(folder.resolve())]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    patience = PROOF_SECONDS + size / PROVED_PER_SECOND
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired as error:
        raise CheckpointError("it takes too long to load") from error
    if done.returncode:
        raise CheckpointError(reason_of(done.stderr))


def reason_of(said: str) -> Message:
    """Of the process that was to load it."""
    with suppress(ValueError, KeyError, TypeError):
        return Message.from_json(json.loads(said.strip().rpartition("\n")[2]))
    return Message("it cannot be loaded")


def collect(folder: Path, files: Files) -> None:
    """Put uploaded files, or those inside of a zip, into a folder. Raises CheckpointError."""
    if len(files) == 1 and zipfile.is_zipfile(files[0][1]):
        try:
            with opened(files[0][1]) as archive:
                unpack(folder, archive)
        except Invalid as error:
            raise CheckpointError(error.message) from error
        return
    left, named = MAX_BYTES, names_of([label for label, _ in files])
    for label, source in files:
        if label not in named:
            continue
        if isinstance(source, Path) and linked(source, folder / named[label]):
            continue
        with opened(source) as file:
            file.seek(0)
            left -= keep(folder / named[label], label, iter(partial(file.read, BLOCK), b""), left)


def linked(source: Path, target: Path) -> bool:
    """Put weights that came in pieces in their place without copying gigabytes, where that can be done. All else is
    copied: it may be written to.
    """
    came = source.is_relative_to(get_settings().data / TRANSFERS) and target.suffix == ".safetensors"
    if not came or target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(source, target)
        return True
    return False


@contextmanager
def opened(source: BinaryIO | Path) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


def unpack(folder: Path, archive: BinaryIO) -> None:
    with open_archive(archive, Limits(MAX_FILES, MAX_BYTES, PACKED)) as zipped:
        entries = [
            entry
            for entry in zipped.infolist()
            if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not entry.is_dir()
        ]
        named = names_of([entry.filename for entry in entries])
        for entry in entries:
            keep(folder / named[entry.filename], entry.filename, blocks_of(zipped, entry, BLOCK), entry.file_size)


def names_of(labels: list[str]) -> dict[str, str]:
    """Where files are put: under their plain names; those of a pipeline as they lie around its index; weights alone
    whatever they are called. Hidden files are left out. Raises CheckpointError for a strange name.
    """
    if len(labels) == 1 and labels[0].lower().endswith(".safetensors"):
        return {labels[0]: WEIGHTS}
    paths = {label: label.replace("\\", "/") for label in labels}
    paths = {label: path for label, path in paths.items() if not HIDDEN.search(path)}
    anchors = [path.removesuffix(end) for path in paths.values() for end in ANCHORS if f"/{path}".endswith(f"/{end}")]
    root = min(anchors, key=len) if anchors else None
    made = {}
    for label, path in paths.items():
        is_around = root is not None and path.startswith(root)
        made[label] = path.removeprefix(root or "") if is_around else path.rsplit("/", 1)[-1]
    weights = [label for label in made if made[label].endswith(".safetensors")]
    if root is not None and (single := lone_weights(made, weights)):
        made[single] = WEIGHTS
    if strange := next((label for label, name in made.items() if not is_relative(name)), None):
        raise CheckpointError(NOT_ONE, label=strange[:80])
    return made


def lone_weights(made: dict[str, str], weights: list[str]) -> str | None:
    """The one file of weights at the root of a folder, which may be called anything."""
    at_root = [label for label in weights if "/" not in made[label]]
    return at_root[0] if len(at_root) == 1 else None


def keep(target: Path, label: str, blocks: Iterator[bytes], most: int) -> int:
    """Copy one file; returns its size. Raises CheckpointError for one that is there, or more bytes than `most`."""
    if target.exists():
        raise CheckpointError(NOT_ONE, label=label[:80])
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with target.open("wb") as file:
        for block in blocks:
            size += len(block)
            if size > most:
                raise CheckpointError("{name} is too large", name=target.name)
            file.write(block)
    return size
