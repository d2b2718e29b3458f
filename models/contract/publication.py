"""Makes a checkpoint a model that artists see. Torch-free."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.contract.card import LONGEST_NAME, NAME, ZOO, CheckpointError, read_card, weights_of
from models.contract.files import is_relative, sha256_of, whole_folder
from models.contract.registry import families
from models.contract.safetensors_header import check_header
from models.contract.samples import SAMPLES, STYLES, is_plain, whole_samples


def publish(
    folder: Path,
    checkpoints: Path,
    name: str,
    replace: bool = False,
    words: dict[str, str] | None = None,
    prove: Callable[[Path], None] | None = None,
    is_adopted: bool = False,
) -> Path:
    """Copy the checkpoint in `folder` to `checkpoints/name`; it appears whole or not at all.

    The weights are held against their card and their header is checked; `prove(copy)` may check more. `words` (title,
    licence, ...) go into the card of the copy. What `is_adopted` has just got its card, and its files are moved.
    Raises CheckpointError.
    """
    if not re.fullmatch(NAME, name) or len(name) > LONGEST_NAME:
        raise CheckpointError("a name has at most 60 lowercase letters, digits and single hyphens")
    target = checkpoints / name
    if (ZOO / name).exists() and not target.exists():
        raise CheckpointError("{name} came with the studio and cannot be replaced; choose another name", name=name)
    if not replace and target.exists():
        raise CheckpointError("there is already a checkpoint {name}", name=name)
    card = read_card(folder)
    if card["family"] not in families():
        raise CheckpointError("there is no family {family!r} here", family=card["family"])
    if target.exists() and (other := dependent_broken_by(name, card, checkpoints)):
        raise CheckpointError("{other} draws with the existing {name}; unpublish {other} first", other=other, name=name)
    with whole_folder(target) as temporary:
        for file in card["files"]:
            copy(folder, temporary, file, os.replace if is_adopted else shutil.copyfile)
        for file in samples_of(folder):
            shutil.copyfile(file, temporary / f"{SAMPLES}{file.suffix}")
        for file in whole_samples(folder / STYLES):
            shutil.copyfile(file, temporary / file.name)
        text = json.dumps({**card, **(words or {})}, ensure_ascii=False, indent=1)
        (temporary / "card.json").write_text(text + "\n", "utf-8")
        for file in () if is_adopted else weights_of(card):
            check_weights(temporary / file, card["files"][file])
        if prove:
            prove(temporary)
    return target


def dependent_broken_by(name: str, card: dict[str, Any], checkpoints: Path) -> str | None:
    """A checkpoint that could not draw any more if the one that `card` is of took the place of `name`."""
    fits = {card["sha256"], *card.get("same_latents_as", [])}
    for folder in sorted(checkpoints.iterdir()):
        with suppress(CheckpointError):
            for part in read_card(folder).get("builds_on", []):
                if part["name"] == name and part["sha256"] not in fits:
                    return folder.name
    return None


def check_weights(path: Path, sha256: str) -> None:
    check_header(path)
    if sha256_of(path) != sha256:
        raise CheckpointError("the weights do not match the hash in the card")


def copy(folder: Path, into: Path, name: str, put: Callable[[Path, Path], object]) -> None:
    source = folder / name
    if not is_relative(name) or not is_plain(source):
        raise CheckpointError("the checkpoint's file {name!r} is missing", name=name)
    (into / name).parent.mkdir(exist_ok=True, parents=True)
    put(source, into / name)


def samples_of(folder: Path) -> list[Path]:
    """Files that show what the checkpoint makes: its own, or the last samples of the run that it lies in."""
    of_run = {path.with_suffix("") for path in (folder.parent / "samples").glob("*")}
    for path in [folder / SAMPLES, *sorted(of_run, reverse=True)]:
        if files := whole_samples(path):
            return files
    return []
