"""Names that others can read, passwords that are not guessed at once, keys with scopes, limits that lock nobody out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from app import security
from app.database import session_scope
from app.errors import Forbidden, TooMany, Unauthenticated
from app.settings import Settings, without_password
from app.users import names, service
from app.users.schemas import KeyIn, UserChange, UserIn
from app.users.scopes import MissingScope, check_scope, needed
from app.validation import of_field

PASSWORD = "correct horse"


def user(name: str = "ada", role: str = "artist") -> str:
    with session_scope() as session:
        return service.create(session, UserIn.model_validate({"name": name, "role": role, "password": PASSWORD})).id


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["李白", "Zoë O. Ångström", "田中さくら", "Мария", "अनिता", "김민수 2", "r2d2", "🦊"])
def test_names_of_people_are_taken(name: str) -> None:
    assert UserIn(name=name).name == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ada\u200b", "cannot be seen"),
        ("\u202eada", "cannot be seen"),
        ("a\u00adda", "cannot be seen"),
        ("ada  b", "spaces"),
        ("ada\u2003b", "spaces"),
        ("аda", "scripts"),
        ("paypаl", "scripts"),
        ("αdmin", "scripts"),
        ("a" + "\u0301" * 6, "marks"),
    ],
)
def test_names_that_deceive_are_refused(name: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        UserIn(name=name)
    assert why in str(of_field(refused.value.errors()[0]))


@pytest.mark.parametrize("other", ["ADA", "Ａｄａ", "аԁа", unicodedata.normalize("NFD", "ada")])
def test_names_that_look_alike_are_one(other: str) -> None:
    assert names.key_of(other) == names.key_of("ada")


# --- passwords ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["        ", "password1", "qwertyuiop", "aaaaaaaaaaaa", "danqing1", "12345678"])
def test_common_and_blank_passwords_are_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        UserChange(password=password)


def test_a_password_is_not_the_name() -> None:
    with pytest.raises(ValidationError):
        UserIn(name="wilhelmina", password="wilhelmina1")


@pytest.mark.parametrize(("password", "said"), [("short", "at least 8"), ("long enough " * 20, "at most 200")])
def test_lengths_are_said_as_they_are(password: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        UserChange(password=password)
    assert said in str(of_field(refused.value.errors()[0]))


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process's memory, and nothing counted yet."""
    from limits.storage import MemoryStorage

    own = MemoryStorage()
    monkeypatch.setattr(security, "storages", lambda: [own])
    yield


def sign_in(name: str, password: str, address: str) -> str:
    with session_scope(writing=False) as session:
        try:
            return service.check_password(session, name, password, address).name
        except Unauthenticated:
            return "wrong"
        except TooMany as error:
            return f"wait {error.retry_after}"


def test_whoever_guesses_a_name_locks_out_only_themselves(in_process: None, limits: None) -> None:
    user()
    assert [sign_in("ada", "guess number", "203.0.113.9") for _ in range(5)] == ["wrong"] * 5
    assert sign_in("ada", PASSWORD, "203.0.113.9").startswith("wait"), "even the right one, for a minute at most"
    assert sign_in("ada", PASSWORD, "198.51.100.7") == "ada"


def test_the_wait_grows(in_process: None, limits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from limits.storage import memory

    moment = [1_000_000.0]
    for module in (security.time, memory.time):
        monkeypatch.setattr(module, "time", lambda: moment[0])
    user()
    waits = []
    for _ in range(30):
        found = sign_in("ada", "guess number", "203.0.113.9")
        if found.startswith("wait"):
            waits.append(int(found.split()[1]))
            moment[0] += waits[-1] + 1
    assert waits[0] <= 60 and max(waits) > 600 and waits.index(max(waits)) > 0


def test_a_network_of_ipv6_is_one_address(in_process: None, limits: None) -> None:
    user()
    found = [sign_in("ada", "guess number", f"2001:db8::{i:x}") for i in range(8)]
    assert found[-1].startswith("wait") and sign_in("ada", PASSWORD, "2001:db8:1::1") == "ada"


def test_who_has_been_here_is_not_held_up_by_what_others_try(in_process: None, limits: None) -> None:
    user()
    assert sign_in("ada", PASSWORD, "203.0.113.9") == "ada"
    tried = [sign_in(f"nobody {i}", "guess number", "203.0.113.9") for i in range(101)]
    assert tried[0] == "wrong" and tried[-1].startswith("wait")
    assert sign_in("ada", PASSWORD, "203.0.113.9") == "ada"


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/artworks", "read"),
        ("POST", "/api/v1/generations", "generate"),
        ("DELETE", "/api/v1/artworks/1", "generate"),
        ("POST", "/api/v1/datasets/1/items", "train"),
        ("POST", "/api/v1/training-runs", "train"),
        ("GET", "/api/v1/training-runs", "read"),
        ("GET", "/api/v1/users", "admin"),
        ("GET", "/api/v1/users/me", "read"),
        ("PATCH", "/api/v1/users/1", "admin"),
        ("GET", "/api/v1/what-comes-later", "admin"),
    ],
)
def test_each_part_of_the_api_has_its_scope(method: str, path: str, scope: str) -> None:
    assert needed(method, path) == scope
    check_scope([scope], method, path)
    if scope != "read":
        with pytest.raises(MissingScope):
            check_scope(["read"], method, path)


def test_a_key_ends_at_its_time_and_with_the_password(in_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from app.database import now

    owner = user()
    with session_scope() as session:
        _, short = service.create_key(session, owner, KeyIn(name="short", days=1))
        _, long = service.create_key(session, owner, KeyIn(name="long", scopes=["read"]))
    with session_scope(writing=False) as session:
        found = service.from_key(session, long)
        assert found and found.scopes == ("read",) and service.from_key(session, short)
    monkeypatch.setattr(service, "now", lambda: now() + timedelta(days=2))
    service.forget()
    with session_scope(writing=False) as session:
        assert service.from_key(session, short) is None and service.from_key(session, long)
    with session_scope() as session:
        service.set_own_password(session, owner, service.hashed("another horse"), end_keys=True)
    with session_scope(writing=False) as session:
        assert service.from_key(session, long) is None


def test_no_key_ends_another(in_process: None) -> None:
    owner = user()
    with session_scope() as session:
        rows = [service.create_key(session, owner, KeyIn(name=name)) for name in ("one", "two")]
        ids = [row.id for row, _ in rows]
    with session_scope() as session:
        one = service.from_key(session, rows[0][1])
        assert one
        with pytest.raises(Forbidden):
            service.revoke_key(session, one, ids[1])
        service.revoke_key(session, one, ids[0])
    with session_scope(writing=False) as session:
        assert service.from_key(session, rows[0][1]) is None and service.from_key(session, rows[1][1])


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://li:s3cret@host/name", "postgresql://li:***@host/name"),
        ("postgresql://li@host/name?password=s3cret", "postgresql://li@host/name?***"),
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://:p@ss@host/0", "redis://:***@host/0"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_passwords_of_settings_are_not_shown(value: str, shown: str) -> None:
    assert without_password(value) == shown


@pytest.mark.parametrize(
    "name", ["c#art", "what?x=1", "my%20art", "100%25", "a b", "日本", "semi;colon", "at@home", "a&b=c"]
)
def test_a_data_folder_may_have_any_name(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    import redis
    from sqlalchemy import make_url

    settings = Settings(data=tmp_path_factory.mktemp("d") / name)
    assert make_url(settings.database).database == str(settings.sqlite)
    pool = redis.from_url(settings.redis).connection_pool
    assert pool.connection_kwargs["path"] == str(settings.valkey_socket)
