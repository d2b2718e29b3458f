"""`danqing`: the studio from a terminal. Results alone on stdout, messages on stderr; exit codes 0, 1 and 2."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer

from app.errors import DomainError
from app.messages import fail, say
from app.settings import ROOT, get_settings, without_password
from app.terminal.checkpoints import checkpoint_cli
from app.terminal.datasets import dataset_cli
from app.terminal.users import key_cli, user_cli
from app.version import VERSION
from models.contract.upscaling import LARGEST

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Danqing 丹青: a self-hosted studio for art with models that you train yourself.",
)
database_cli = typer.Typer(no_args_is_help=True, help="The database.")
cli.add_typer(user_cli, name="user")
cli.add_typer(key_cli, name="key")
cli.add_typer(dataset_cli, name="dataset")
cli.add_typer(checkpoint_cli, name="checkpoint")
cli.add_typer(database_cli, name="database")


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@cli.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print it")] = False,
) -> None:
    """Settings that are wrong end every command with their names."""
    get_settings()


@cli.command()
def up() -> None:
    """Start everything on this machine: Valkey, web, a generation and a training worker. Ctrl-C stops it."""
    from app.terminal.supervisor import run

    raise typer.Exit(run())


@cli.command()
def web() -> None:
    """Start the web process alone."""
    import structlog
    import uvicorn

    from app.database.migrate import known_problem
    from app.main import create_app
    from app.web.protocol import BoundedProtocol

    settings = get_settings()
    give_memory_back()
    application = create_app()
    if problem := known_problem():
        structlog.get_logger().warning("other_schema", problem=problem)
    uvicorn.run(
        application,
        http=BoundedProtocol,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # `app.web.middleware.Forwarded` reads them
        timeout_graceful_shutdown=3,
        server_header=False,
    )


def give_memory_back() -> None:
    """The buffers of large pictures go back to the system when they are freed; glibc would come to keep them."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD: fixed, it does not grow any more
            libc.mallopt(-8, 4)  # M_ARENA_MAX


@cli.command()
def worker(
    queue: Annotated[str, typer.Option(help="Whose jobs it does")] = "generation",
    check: Annotated[bool, typer.Option(help="Only say whether one of this host lives, by the exit code")] = False,
) -> None:
    """Start a worker of one queue."""
    import app.tables  # noqa: F401  (features enter their queues beside their tables)
    from app.database import engine, session_scope
    from app.jobs.registry import queues

    if queue not in queues():
        fail(f"--queue is one of {', '.join(queues())}", 2)

    if check:
        from app.machines.liveness import is_one_here

        with session_scope(writing=False) as session:
            if not is_one_here(session, queue):
                fail("no worker of this host has reported within a minute")
        return
    from app.database.migrate import known_problem

    if problem := known_problem():
        fail(problem)
    engine().dispose()
    os.execv(sys.executable, [sys.executable, "-m", "workers", queue])  # `app` knows no workers; signals go straight


@cli.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from app.database.migrate import migrate as run

    run()


@cli.command()
def vendor() -> None:
    """Fetch the front-end libraries from npm and the soundfont from Debian into static/vendor."""
    from app.packages.package import FetchError
    from app.terminal.vendor import fetch, fetch_soundfont

    cache = ROOT / ".cache" / "packages"
    try:
        fetch(cache)
    except FetchError as error:
        fail(str(error))
    try:
        fetch_soundfont(cache)
    except FetchError as error:
        say(f"Scores cannot be heard, all else works: {error}")


@cli.command()
def doctor(
    files: Annotated[bool, typer.Option("--files", help="Read every file; name the lost and the damaged")] = False,
) -> None:
    """Say what is missing and how to mend it, and list the settings; or look at every file."""
    from app.terminal.doctor import examine

    if files:
        doctor_files()
        return
    problems = 0
    for name, ok, detail in examine():
        problems += not ok
        typer.echo(f"{'ok  ' if ok else 'FAIL'}  {name}: {detail}")
    say("")
    for name, field in type(get_settings()).model_fields.items():
        say(f"DANQING_{name.upper()}={without_password(getattr(get_settings(), name))}  ({field.description})")
    raise typer.Exit(1 if problems else 0)


def doctor_files() -> None:
    import app.tables  # noqa: F401  (every table must be known before the first query)
    from app.logs import configure_logging
    from app.outages import outage
    from app.terminal.doctor import WELL, examine_files

    configure_logging(get_settings().log_format)  # to stderr: stdout is for results

    counts = Counter[str]()
    try:
        for kind, identifier, state in examine_files():
            counts[state] += 1
            if state != WELL:
                typer.echo(f"FAIL  {kind} {identifier}: its file is {state}")
            if counts.total() % 100 == 0:
                typer.echo(f"\r{counts.total()} files", err=True, nl=False)
    except Exception as error:
        if (fault := outage(error)) is None:
            raise
        fail(fault.message)
    say(f"\r{counts.total()} files")
    typer.echo(f"{counts.total()} files, {counts['missing']} missing, {counts['damaged']} damaged")
    raise typer.Exit(0 if counts[WELL] == counts.total() else 1)


@cli.command()
def generate(
    model: str,
    prompt: Annotated[str | None, typer.Option(help="What to draw, for a task that takes a prompt")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the pictures")] = Path(),
    count: Annotated[int, typer.Option(min=1, max=16)] = 1,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    task: Annotated[str | None, typer.Option(help="One of the model's tasks; its first without it")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(exists=True, help="A picture to work from; may be repeated")
    ] = None,
    input: Annotated[
        list[str] | None, typer.Option(help="Anything else to work from, as role=file: mask=sky.png")
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="Any other parameter, as name=value")] = None,
    enlarge: Annotated[
        int | None, typer.Option(min=64, max=LARGEST, help="Pixels that the longer side shall have at least")
    ] = None,
) -> None:
    """Draw with a model in this process, without server or queue; prints the files' names."""
    import subprocess

    from app.checkpoints import service

    params: dict[str, object] = {"count": count, "seed": seed, **({} if prompt is None else {"prompt": prompt})}
    for pair in param or []:
        name, _, value = pair.partition("=")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    try:
        chosen = task or service.get(model).tasks[0].name
    except DomainError as error:
        fail(error.message, 2)
    settings = json.dumps({"params": params, "enlarge": enlarge and {"size": enlarge}})
    command = [sys.executable, "-m", "workers.draw", model, chosen, settings, str(output.resolve())]
    for given in [*(f"image={path}" for path in image or []), *(input or [])]:
        role, _, file = given.partition("=")
        if not Path(file).is_file():
            fail(f"{given}: there is no such file", 2)
        command.append(f"{role}={Path(file).resolve()}")
    raise typer.Exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


@cli.command()
def train(
    recipe: Path,
    folder: Annotated[Path | None, typer.Option(help="Run folder; an unfinished run there goes on")] = None,
    size: Annotated[str, typer.Option(help="Which size of the recipe: cpu or gpu")] = "cpu",
    collection: Annotated[str | None, typer.Option(help="Another collection than the recipe's")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Another number of steps than the recipe's")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Stop after so much training")] = None,
    start_from: Annotated[str | None, typer.Option(help="Checkpoint whose weights it starts with")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train it together, one a GPU")] = 1,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard event files")] = None,
) -> None:
    """Train a checkpoint by its recipe; Ctrl-C saves and stops, the same command goes on."""
    import importlib.util
    import subprocess

    from app.terminal.progress import follow
    from models.contract.run_folder import RunFolder

    if tensorboard and importlib.util.find_spec("tensorboardX") is None:
        fail("--tensorboard needs the package tensorboardX: pip install tensorboardX")
    name = "-".join([recipe.stem, *([collection] if collection else [])])
    place = RunFolder((folder or get_settings().data / "runs" / name).resolve())
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [sys.executable, "-m", *(torchrun if processes > 1 else []), "models.training.process"]
    command += [str(recipe.resolve()), str(place.path), "--size", size]
    command += ["--datasets", str(get_settings().data / "datasets")]
    command += ["--checkpoints", str(get_settings().data / "checkpoints"), "--parent", str(os.getpid())]
    given = {"--collection": collection, "--steps": steps, "--minutes": minutes, "--start-from": start_from}
    for option, value in given.items():
        command += [option, str(value)] if value else []
    place.path.mkdir(parents=True, exist_ok=True)
    bar = sys.stderr.isatty()
    with ExitStack() as stack:
        # The bar has the terminal for itself; the process's own words are in the log.
        output = stack.enter_context(place.log.open("ab")) if bar else None

        def start() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, cwd=ROOT, stderr=output, start_new_session=True)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: process.terminate())
            return process

        code = follow(place, start, bar, tensorboard)
    if place.progress().get("phase") == "stopped":  # torchrun has codes of its own
        code = 130
    if code and bar:
        say(place.tail(2000).strip().rpartition("\n")[2])
    if code == 0:
        typer.echo(place.model)
    raise typer.Exit(code)


@cli.command()
def evaluate(
    name: str,
    collection: Annotated[str | None, typer.Option(help="Another collection than that of its training")] = None,
    write: Annotated[bool, typer.Option("--write", help="Put figures and contact sheet into the checkpoint")] = False,
) -> None:
    """Measure a checkpoint again: the figures of its card, as JSON."""
    import subprocess

    from app.checkpoints import service

    data = get_settings().data
    try:
        seen = service.card_of(name)["collection"]
    except DomainError as error:
        fail(error.message, 2)
    own = data / "prepared" / str(seen)  # of a run in this studio
    chosen = collection or (str(own.resolve()) if own.is_dir() else str(seen))
    command = [sys.executable, "-m", "models.measure.evaluation", name]
    command += ["--datasets", str((data / "datasets").resolve())]
    command += ["--checkpoints", str((data / "checkpoints").resolve()), "--collection", chosen]
    command += ["--write"] if write else []
    raise typer.Exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The tar file to write")],
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Leave out what is missing or damaged")] = False,
) -> None:
    """Write the studio into one file, also while it runs: database, works, datasets, checkpoints, runs."""
    from app.terminal.backup import BackupFailed
    from app.terminal.backup import backup as write

    try:
        lost = write(file, counted, incomplete)
    except BackupFailed as error:
        fail(str(error))
    say("")
    for digest in lost:
        say(f"left out: {digest}")
    typer.echo(file)


@cli.command()
def restore(file: Annotated[Path, typer.Argument(exists=True, help="A file of `danqing backup`")]) -> None:
    """Fill an empty data folder from a backup, after comparing every file with its hash; print each table's rows."""
    from app.terminal.backup import BackupFailed
    from app.terminal.backup import restore as read

    try:
        tables = read(file, counted)
    except BackupFailed as error:
        fail(str(error))
    say("")
    for table, rows in tables.items():
        typer.echo(f"{table}\t{rows}")


def counted(files: int) -> None:
    if files % 100 == 0:
        typer.echo(f"\r{files} files", err=True, nl=False)


@database_cli.callback()
def of_databases() -> None:
    """Without it, typer would take a group of one command for that command."""


@database_cli.command("copy")
def database_copy(
    url: Annotated[str, typer.Argument(help="postgresql://user:password@host/name, or sqlite:////folder/file")],
) -> None:
    """Copy the studio's database to an empty one, compare them, and print each table's rows.

    Stop the studio before: web and workers on every machine. Nothing is kept where anything differs. A password need
    not be in the URL: PGPASSWORD and ~/.pgpass are known too. Files are not in the database and stay where they are.
    """
    import app.tables  # noqa: F401  (every table is copied)
    from app.database.copy import NotCopied, copy

    try:
        copied = copy(url)
    except NotCopied as error:
        fail(str(error))
    for table, rows in copied.items():
        typer.echo(f"{table}\t{rows}")
    say("Everything was copied and is the same. Set DANQING_DATABASE_URL to this URL before you start the studio.")


if __name__ == "__main__":
    cli()
