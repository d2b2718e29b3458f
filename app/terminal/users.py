"""`danqing user` and `danqing key`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from app.errors import DomainError
from app.messages import fail, say
from app.settings import get_settings
from app.terminal.output import Json, print_rows

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.users.tables import User

user_cli = typer.Typer(no_args_is_help=True, help="Users.")
key_cli = typer.Typer(no_args_is_help=True, help="API keys.")
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask")]


@contextmanager
def transaction() -> Iterator[Session]:
    """What the domain refuses ends the command with its reason."""
    import app.tables  # noqa: F401  (every table must be known before the first query)
    from app.database import session_scope

    try:
        with session_scope() as session:
            yield session
    except DomainError as error:
        fail(error.message)


def checked(kind: Any, given: dict[str, Any]) -> Any:
    from app.validation import of_field

    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fail("; ".join(f"{(p['loc'] or ['it'])[0]}: {of_field(p)}" for p in error.errors()), 2)


# --- users ----------------------------------------------------------------------------------------------------------


@user_cli.command("add")
def user_add(name: str, role: Annotated[str, typer.Option(help="artist or admin")] = "artist") -> None:
    """Add a user; the password comes from stdin, or is prompted for."""
    from app.database.migrate import migrate
    from app.users import service
    from app.users.schemas import UserIn

    password = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\r\n")
    )
    given = checked(UserIn, {"name": name, "role": role, "password": password})
    migrate()
    with transaction() as session:
        typer.echo(service.create(session, given).id)


@user_cli.command("list")
def user_list(as_json: Json = False) -> None:
    """Print every user: name, role, since when, since when locked."""
    from app.users import service

    with transaction() as session:
        rows = [facts(user) for user in service.all_users(session)]
    print_rows(rows, as_json)


def facts(user: User) -> dict[str, Any]:
    times = {"created_at": user.created_at.isoformat(), "locked_at": user.disabled_at and user.disabled_at.isoformat()}
    return {"name": user.name, "role": user.role, **times, "id": user.id}


@user_cli.command("lock")
def user_lock(name: str, undo: Annotated[bool, typer.Option("--undo", help="Unlock")] = False) -> None:
    """Lock a user: no session and no key opens the studio any more. With --undo they may come back."""
    change(name, disabled=not undo)


@user_cli.command("role")
def user_role(name: str, role: Annotated[str, typer.Argument(help="artist or admin")]) -> None:
    """Give a user another role."""
    change(name, role=role)


def change(name: str, **wanted: Any) -> None:
    from app.users import service
    from app.users.schemas import UserChange

    given = checked(UserChange, wanted)
    with transaction() as session:
        service.change(session, service.by_name(session, name), given)


@user_cli.command("remove")
def user_remove(name: str, yes: Yes = False) -> None:
    """Remove a user with their works, uploads and keys. Datasets, runs and models stay."""
    from app.admin import accounts
    from app.users import service

    with transaction() as session:
        user = service.by_name(session, name)
        works = accounts.works_of(session, user)
        if not yes and works:
            say(f"{user.name} has {works} works, which are deleted with the user.")
            if not sys.stdin.isatty() or not typer.confirm("Remove them?", err=True):
                fail("nothing was removed; --yes removes without asking")
        accounts.remove(session, user)


@user_cli.command("link")
def user_link(name: str) -> None:
    """Print a one-time link that signs a user in, to set a new password."""
    from app.users import service

    with transaction() as session:
        token = service.create_link(session, service.by_name(session, name).id)
    typer.echo(f"{get_settings().address}/link/{token}")


# --- keys -----------------------------------------------------------------------------------------------------------


@key_cli.command("add")
def key_add(
    user: str,
    name: Annotated[str, typer.Option(help="What the key is for")] = "command line",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do: read, generate, train, admin; may be repeated")
    ] = None,
    expires: Annotated[int | None, typer.Option(help="Days until it ends")] = None,
) -> None:
    """Make an API key of a user and print it. Without --scope it may do all that the user may."""
    from app.users import service
    from app.users.schemas import KeyIn
    from app.users.scopes import OF_ROLE

    with transaction() as session:
        owner = service.by_name(session, user)
        given = checked(KeyIn, {"name": name, "scopes": scope or OF_ROLE[owner.role], "days": expires})
        _, key = service.create_key(session, owner.id, given)
    typer.echo(key)


@key_cli.command("list")
def key_list(
    user: Annotated[str | None, typer.Argument(help="Whose; all without a name")] = None, as_json: Json = False
) -> None:
    """Print the keys that are good: id, owner, name, first characters, scopes, when it ends, when it was last used."""
    from app.users import service

    with transaction() as session:
        owner = service.by_name(session, user).id if user else None
        rows = [
            {
                "id": key.id,
                "user": key.user.name,
                "name": key.name,
                "hint": key.hint,
                "scopes": key.scopes,
                "expires_at": key.expires_at and key.expires_at.isoformat(),
                "last_used_at": key.last_used_at and key.last_used_at.isoformat(),
            }
            for key in service.all_keys(session)
            if owner in (None, key.user_id)
        ]
    print_rows(rows, as_json)


@key_cli.command("revoke")
def key_revoke(
    key: Annotated[str | None, typer.Argument(help="Its id, or its first characters")] = None,
    user: Annotated[str | None, typer.Option(help="All keys of this user instead")] = None,
) -> None:
    """End a key, or all of a user."""
    from app.users import service

    if (key is None) == (user is None):
        fail("give a key, or --user", 2)
    with transaction() as session:
        if user is not None:
            service.revoke_keys(session, service.by_name(session, user).id)
            return
        found = [each for each in service.all_keys(session) if key in (each.id, each.hint, each.hint + "…")]
        if len(found) != 1:
            fail("several keys begin so: give the id, see `danqing key list`" if found else "there is no such key")
        service.revoke_key(session, None, found[0].id)
