"""`danqing checkpoint`: models from a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.errors import DomainError
from app.messages import fail
from app.settings import ROOT, get_settings
from app.terminal.output import Json, print_rows

checkpoint_cli = typer.Typer(no_args_is_help=True, help="Checkpoints.")


@checkpoint_cli.command("list")
def checkpoint_list(as_json: Json = False) -> None:
    """Print the checkpoints: those that draw, and those that they build on."""
    from app.checkpoints import service

    found = service.checkpoints().items()
    short = 64 if as_json else 12
    rows = [
        {"name": name, "family": each.family.name, "sha256": each.sha256[:short], "title": each.title}
        for name, each in found
    ]
    print_rows(rows, as_json)


@checkpoint_cli.command("export")
def checkpoint_export(name: str, file: Annotated[Path, typer.Argument(help="The zip to write")]) -> None:
    """Write a checkpoint with its card as a zip, which another studio imports."""
    from app.checkpoints import service

    try:
        zipped = service.archive(name)
        with file.open("wb") as target:
            target.writelines(zipped)
    except (DomainError, OSError) as error:
        fail(str(error))
    typer.echo(file)


@checkpoint_cli.command("fetch")
def checkpoint_fetch(name: Annotated[str, typer.Argument(help="One that others have published")]) -> None:
    """Fetch a public model and make it one that artists see."""
    from app.publishing import starters

    if name not in starters.STARTERS:
        fail(f"NAME is one of {', '.join(starters.STARTERS)}", 2)
    try:
        starters.fetch(name)
    except DomainError as error:
        fail(error.in_full)
    typer.echo(get_settings().data / "checkpoints" / name)


@checkpoint_cli.command("import")
def checkpoint_import(
    folder: Annotated[
        Path, typer.Argument(exists=True, help="Holds a checkpoint; or a zip of it; or the weights of an upscaler")
    ],
    name: str,
    replace: Annotated[bool, typer.Option(help="Take the place of the checkpoint of this name")] = False,
) -> None:
    """Check a checkpoint and make it a model that artists see at once; a run's is in its folder `model`."""
    import subprocess
    import tempfile

    from app.checkpoints import distribution, importing
    from models.contract.card import CheckpointError

    with tempfile.TemporaryDirectory() as temporary:
        if folder.is_file():
            try:
                with folder.open("rb") as file:
                    importing.collect(Path(temporary), [(folder.name, file)])
            except (CheckpointError, DomainError) as error:
                fail(str(error))
            folder = Path(temporary)
        command = [sys.executable, "-m", "models.import_checkpoint", str(folder.resolve())]
        command += [str(get_settings().data / "checkpoints"), name, *(["--replace"] if replace else [])]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code == 0:
        distribution.announce(name)
    raise typer.Exit(code)
