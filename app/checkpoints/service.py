"""The catalogue of models: checkpoints in the zoo and in the data folder, read from their cards. Torch-free."""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from PIL import Image
from zipstream import ZipStream

from app.errors import Conflict, NotFound
from app.settings import get_settings
from models.contract.adapters import fits
from models.contract.card import ZOO, CheckpointError, read_card
from models.contract.family import Family
from models.contract.registry import families
from models.contract.samples import BROKEN, PICTURE, PIECES, SAMPLES, STYLES, TEXT, is_plain, read_pieces
from models.contract.tasks import Input, Task
from models.contract.values import MUSIC, PICTURES, Score

FIRST = ("image-variation", "image-interpolation", "image-upscaling")  # what is offered first on a work's page
LONGEST_SHOWN = 4000  # bytes of the texts that show what a model writes
log = structlog.get_logger()


@dataclass(frozen=True)
class Example:
    """Something that may be given to a model: where it lies below the API, what it is called, and its file."""

    path: str
    title: str
    file: str
    medium: str


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

    @cached_property
    def pieces(self) -> list[Score]:
        """Raises NotFound."""
        if self.has_pieces:
            with suppress(OSError, ValueError):
                return read_pieces(self.file_of_samples(PIECES))
        raise NotFound("This model has no pieces to listen to")

    def examples(self, given: Input) -> list[Example]:
        """What may be given to it to begin with: pictures that came with it, or pieces that it has made."""
        if given.medium == MUSIC:
            with suppress(NotFound):
                return [
                    Example(f"/models/{self.name}/samples/{i}/midi", str(i), f"{self.name}-{i}.mid", MUSIC)
                    for i in range(1, len(self.pieces) + 1)
                ]
        return [
            Example(f"/models/{self.name}/examples/{i}", each.get("title", ""), each["file"], PICTURES)
            for i, each in enumerate(self.card.get("examples", []), 1)
            if given.medium == PICTURES and each["role"] == given.role
        ]

    def file_of_example(self, number: int) -> Path:
        """Of those that came with it, from 1 on. Raises NotFound."""
        brought = self.card.get("examples", [])
        if number <= len(brought) and is_plain(path := self.folder / str(brought[number - 1]["file"])):
            return path
        raise NotFound("This model has no such example")

    @property
    def shows_styles(self) -> bool:
        return is_plain(self.folder / f"{STYLES}{PICTURE}")

    def style(self, number: int) -> bytes:
        """A PNG of what one of its styles looks like, from 1 on. Raises NotFound."""
        path, buffer = self.folder / f"{STYLES}{PICTURE}", io.BytesIO()
        if is_plain(path):
            with suppress(*BROKEN), Image.open(path, formats=["PNG"]) as row:
                side = row.height
                if number * side <= row.width:
                    row.crop(((number - 1) * side, 0, number * side, side)).save(buffer, "PNG")
                    return buffer.getvalue()
        raise NotFound("This model shows no such style")

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
    shown = [f"{STYLES}{PICTURE}", *(f"{SAMPLES}{suffix}" for suffix in (PICTURE, TEXT, PIECES))]
    zipped = ZipStream(sized=False)
    for file in dict.fromkeys([*files, *shown]):
        if is_plain(folder / file):
            zipped.add_path(folder / file, file)
    return iter(zipped)


def read_files(folder: Path) -> list[str]:
    card = read(folder) or {}
    return [str(file) for file in card.get("files", {})]
