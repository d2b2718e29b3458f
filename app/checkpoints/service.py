"""The catalogue of models: checkpoints in the zoo and in the data folder, read from their cards. Torch-free."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import structlog
from zipstream import ZipStream

from app.errors import Conflict, Invalid, NotFound
from app.settings import ROOT, get_settings
from app.zips import Limits, blocks_of, open_archive
from models.contract.adapters import IMAGE_ENCODER, fits
from models.contract.card import WEIGHTS, ZOO, CheckpointError, read_card
from models.contract.family import Family
from models.contract.files import WRITING, is_relative
from models.contract.message import Message
from models.contract.pipelines import INDEX
from models.contract.publication import publish
from models.contract.registry import families
from models.contract.samples import PICTURE, PIECES, SAMPLES, TEXT, is_plain, read_pieces
from models.contract.tasks import Task
from models.contract.values import Score

Files: TypeAlias = Sequence[tuple[str, "BinaryIO | Path"]]  # by the names that they have where they come from
ANCHORS = (INDEX, f"{IMAGE_ENCODER}/config.json")  # what folders are known by whose files keep their places
TRANSFERS = "transfers"  # in the data folder
HIDDEN = re.compile(r"(^|/)\.(?!\.)")
MAX_FILES, MAX_BYTES = 200, 64 * 2**30  # of an imported checkpoint
NOT_ONE = "{label!r} is not a file of a checkpoint, or appears twice"
PROOF_SECONDS, PROVED_PER_SECOND = 300, 20e6  # bytes, from a slow disk
FIRST = ("image-variation", "image-interpolation", "image-upscaling")  # what is offered first on a work's page
BLOCK = 1 << 20  # bytes that are copied at once
LONGEST_SHOWN = 4000  # bytes of the texts that show what a model writes
PACKED = 1100  # times smaller than it is, it may be packed: more than deflate can
log = structlog.get_logger()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a family that is known here. `sha256` is of its weights."""

    name: str
    folder: Path
    family: Family
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        return str(self.card["sha256"])

    @property
    def title(self) -> str:
        return str(self.card.get("title", self.name))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it does; nothing where others only build on it."""
        return self.family.tasks_of(self.card) if self.family.tasks_of else self.family.tasks

    @property
    def sort_key(self) -> tuple[bool, bool, str]:
        """Where it stands among others: previews last, what takes a prompt first, then by name."""
        takes_prompt = any("prompt" in task.params.model_fields for task in self.tasks)
        return bool(self.card.get("preview")), not takes_prompt, self.name

    @property
    def excerpt(self) -> str:
        """The beginning of what it writes; empty where it makes pictures."""
        path = self.file_of_samples(TEXT)
        if not is_plain(path):
            return ""
        with path.open("rb") as samples:
            return samples.read(LONGEST_SHOWN).decode("utf-8", "replace").rstrip("\ufffd")

    @property
    def has_sheet(self) -> bool:
        """Whether a picture shows what it makes."""
        return is_plain(self.file_of_samples(PICTURE))

    @property
    def has_pieces(self) -> bool:
        """Whether they may be heard."""
        return is_plain(self.file_of_samples(PIECES))

    @property
    def pieces(self) -> list[Score]:
        """Raises NotFound."""
        if self.has_pieces:
            with suppress(OSError, ValueError):
                return read_pieces(self.file_of_samples(PIECES))
        raise NotFound("This model has no pieces to listen to")

    def file_of_samples(self, suffix: str) -> Path:
        return self.folder / f"{SAMPLES}{suffix}"

    @property
    def seconds_in_all(self) -> float:
        """What its training took together with that of what it started from."""
        seconds = 0.0
        part: dict[str, Any] | None = self.card
        while part:
            seconds, part = seconds + part.get("seconds", 0), part.get("started_from")
        return seconds

    def does(self, name: str) -> Task | None:
        """The task of this name, if it has it."""
        return next((task for task in self.tasks if task.name == name), None)

    def task(self, name: str) -> Task:
        found = self.does(name)
        if found is None:
            raise NotFound("The model {model} has no task {name}", model=self.name, name=name)
        return found


def folders() -> list[Path]:
    """Where checkpoints are looked for; the first with a name wins."""
    return [get_settings().data / "checkpoints", ZOO]


_cards: dict[Path, tuple[int, dict[str, Any]]] = {}


def read(folder: Path) -> dict[str, Any] | None:
    """A card, read again only when its file has changed; None for a broken one."""
    path = folder / "card.json"
    try:
        changed = path.stat().st_mtime_ns
        if path not in _cards or _cards[path][0] != changed:
            _cards[path] = (changed, read_card(folder))
        return _cards[path][1]
    except (OSError, CheckpointError) as error:
        log.warning("card_unreadable", folder=str(folder), error=str(error))
        return None


def found() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every folder with a card of ours; of several with one name the first."""
    names = set[str]()
    for place in folders():
        for folder in sorted(place.glob("*/")) if place.is_dir() else []:
            card = read(folder) if is_plain(folder / "card.json") and not folder.is_symlink() else None
            if card and folder.name not in names and not folder.name.startswith("."):
                names.add(folder.name)
                yield folder, card


def cards() -> dict[str, dict[str, Any]]:
    """Cards of all checkpoints by name, also of those that draw nothing by themselves."""
    return {folder.name: card for folder, card in found()}


def title_of(name: str) -> str:
    """Of a checkpoint that may be gone."""
    return str(cards().get(name, {}).get("title") or name.replace("-", " "))


def ships(name: str) -> bool:
    """Whether the checkpoint of this name is the studio's: an own one of the same name hides that."""
    return any(folder.name == name and folder.parent == ZOO for folder, _ in found())


def card_of(name: str) -> dict[str, Any]:
    card = cards().get(name)
    if card is None:
        raise NotFound("There is no checkpoint {name}", name=name)
    return card


def checkpoints() -> dict[str, Checkpoint]:
    """Every checkpoint of a family that is known here, also those that draw nothing by themselves."""
    known = [
        Checkpoint(folder.name, folder, families()[card["family"]], card)
        for folder, card in found()
        if card["family"] in families()
    ]
    return {checkpoint.name: checkpoint for checkpoint in sorted(known, key=lambda checkpoint: checkpoint.sort_key)}


def catalogue() -> dict[str, Checkpoint]:
    """Those that draw. The first is what the create page opens with: one that draws from a prompt and is no preview,
    where there is one.
    """
    return {name: checkpoint for name, checkpoint in checkpoints().items() if checkpoint.tasks}


def nearest_first(model: str) -> list[Checkpoint]:
    """Those that draw: that one, then such as learnt from the same collection, then the others."""
    collection = cards().get(model, {}).get("collection")
    return sorted(
        catalogue().values(), key=lambda found: (found.name != model, found.card.get("collection") != collection)
    )


def model_for_task(task: str, model: str) -> str | None:
    """A model that does this to the works of `model`, the nearest to it."""
    return next((found.name for found in nearest_first(model) if found.does(task)), None)


def tasks_from(medium: str, model: str) -> list[Task]:
    """What can be done with one work of `model` to begin with, each as the model does it that would be chosen."""
    chosen: dict[str, Task] = {}
    for found in nearest_first(model):
        for task in found.tasks:
            if (given := task.source) and given.medium == medium:
                chosen.setdefault(task.name, task)
    order = {name: place for place, name in enumerate(FIRST)}
    return sorted(chosen.values(), key=lambda task: (order.get(task.name, len(FIRST)), task.name))


def get(name: str) -> Checkpoint:
    """One that draws. Raises NotFound."""
    checkpoint = checkpoint_of(name)
    if not checkpoint.tasks:
        raise NotFound("{name} draws nothing by itself; other models may build on it", name=name)
    return checkpoint


def checkpoint_of(name: str) -> Checkpoint:
    """One that may draw nothing by itself. Raises NotFound."""
    checkpoint = checkpoints().get(name)
    if checkpoint is None:
        raise NotFound("There is no model {name}", name=name)
    return checkpoint


def adapters_for(checkpoint: Checkpoint, kinds: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """Cards of the adapters that are for a model, by name; of some families, or of all that its tasks name."""
    if kinds is None:
        declared = [each for task in checkpoint.tasks for each in task.params.in_part("adapters").values()]
        kinds = {kind for each in declared for kind in each["kinds"]}
    return {name: card for name, card in cards().items() if card["family"] in kinds and fits(card, checkpoint.card)}


def delete(name: str) -> None:
    """Artists no longer see the model; what it drew stays. Raises NotFound; Conflict for one that the studio ships, and
    for one that another builds on.

    Jobs that wait for it fail with the reason.
    """
    card_of(name)
    if ships(name):
        raise Conflict("This checkpoint came with the studio and cannot be deleted")
    for other, card in cards().items():
        if any(part["name"] == name for part in card.get("builds_on", [])):
            raise Conflict("{other} builds on it; unpublish that first", other=other)
    shutil.rmtree(get_settings().data / "checkpoints" / name)


def archive(name: str) -> Iterator[bytes]:
    """The checkpoint's files as a zip, as it is made. Raises NotFound, also where a file of its card is missing."""
    card_of(name)
    folder = next(folder for folder, _ in found() if folder.name == name)
    files = ["card.json", *read_files(folder)]
    for file in files:
        if not is_plain(folder / file):
            raise NotFound("The file {file} of {name} is missing: it cannot be exported", file=file, name=name)
    zipped = ZipStream(sized=False)
    for file in dict.fromkeys([*files, *(f"{SAMPLES}{suffix}" for suffix in (PICTURE, TEXT, PIECES))]):
        if is_plain(folder / file):
            zipped.add_path(folder / file, file)
    return iter(zipped)


def read_files(folder: Path) -> list[str]:
    card = read(folder) or {}
    return [str(file) for file in card.get("files", {})]


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
    """The one file of weights at the root of a folder, which may be called anything, where no part has its own."""
    at_root = [label for label in weights if "/" not in made[label]]
    within = {made[label].split("/")[0] for label in weights if label not in at_root}
    return at_root[0] if len(at_root) == 1 and within <= {IMAGE_ENCODER} else None


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
