"""What commands say: results on stdout alone, messages on stderr, an exit code other than 0 for what failed."""

from __future__ import annotations

from typing import NoReturn

import typer


def say(message: str) -> None:
    typer.echo(message, err=True)


def fail(message: str, code: int = 1) -> NoReturn:
    say(f"danqing: {message}")
    raise typer.Exit(code)
