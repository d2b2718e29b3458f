"""Migrations wait for their database and for each other; a wrong schema is one sentence of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import make_url, text

from app.database import engine, migrate, session_scope
from tests.conftest import clear_caches
from tests.studio import ROOT, Studio, wait_until


def execute(query: str) -> None:
    with session_scope() as session:
        session.execute(text(query))


def started(data: Path, url: str) -> subprocess.Popen[str]:
    """`danqing migrate` on a machine of its own."""
    environment = {"PATH": "/usr/bin:/bin", "DANQING_DATA": str(data), "DANQING_DATABASE_URL": url}
    command = [sys.executable, "-m", "app.terminal.cli", "migrate"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("in_process")
def test_each_problem_of_a_schema_has_its_cure() -> None:
    assert migrate.schema_problem() is None
    execute("UPDATE alembic_version SET version_num = '0001'")
    assert migrate.schema_problem() == migrate.OLDER
    execute("UPDATE alembic_version SET version_num = '9999'")
    assert migrate.schema_problem() == migrate.NEWER
    with pytest.raises(SystemExit, match="install the newer version"):
        migrate.migrate()
    execute("DELETE FROM alembic_version")
    assert migrate.schema_problem() == migrate.EMPTY
    execute("DROP TABLE alembic_version")
    assert migrate.schema_problem() == migrate.EMPTY == migrate.known_problem()


@pytest.mark.usefixtures("in_process")
def test_migrating_again_changes_nothing() -> None:
    migrate.migrate()
    assert migrate.schema_problem() is None
    assert engine().pool.checkedout() == 0  # type: ignore[attr-defined]


def test_migrations_wait_for_a_database_that_is_started_later(empty_postgres: str, tmp_path: Path) -> None:
    address = make_url(empty_postgres)
    later = tmp_path / "later"
    process = started(
        tmp_path, f"postgresql://{address.username}@/{address.database}?host={quote(str(later), safe='')}"
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("danqing: the database does not answer, waiting up to 60 s: "), told
        later.symlink_to(str(address.query["host"]))  # the server's socket appears
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, rest) == (0, ""), "it says so once"
    with psycopg.connect(empty_postgres) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_database_that_stays_away_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANQING_DATA", str(tmp_path))
    monkeypatch.setenv("DANQING_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/danqing")
    monkeypatch.setattr(migrate, "AWAY_SECONDS", 0.1)
    clear_caches()
    try:
        with pytest.raises(SystemExit, match="danqing: the database does not answer: ") as refused:
            migrate.migrate()
        assert "secret" not in str(refused.value)
        assert migrate.known_problem() is None, "nobody can tell"
    finally:
        engine().dispose()
        clear_caches()


def test_machines_migrate_one_after_another(empty_postgres: str, tmp_path: Path) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(empty_postgres, autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({migrate.ADVISORY_LOCK})")
        processes = [started(tmp_path / str(i), empty_postgres) for i in range(3)]
        try:
            wait_until("all to wait", lambda: other.execute(waiting).fetchone() == (3,))
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert other.execute(tables).fetchone() == (0,)
            other.execute(f"SELECT pg_advisory_unlock({migrate.ADVISORY_LOCK})")
            told = [process.communicate(timeout=60)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [(process.returncode, said) for process, said in zip(processes, told, strict=True)] == [(0, "")] * 3


def test_a_worker_leaves_with_a_wrong_schema_and_the_web_process_says_so(
    fresh_studio: Callable[..., Studio], empty_postgres: str
) -> None:
    studio = fresh_studio(DANQING_DATABASE_URL=empty_postgres)
    with psycopg.connect(empty_postgres) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    for queue in ("generation", "training"):
        done = studio.run("worker", "--queue", queue, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"danqing: {migrate.OLDER}\n")
    studio.start("web")
    assert migrate.OLDER in studio.log("web")


def test_the_web_process_starts_while_its_database_is_away(fresh_studio: Callable[..., Studio]) -> None:
    studio = fresh_studio()
    studio.start("web", DANQING_DATABASE_URL="postgresql://127.0.0.1:1/danqing")
    assert "other_schema" not in studio.log("web")
