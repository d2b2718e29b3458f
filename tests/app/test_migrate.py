"""Migrations wait for their database and for each other; a wrong schema is one sentence of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, insert, make_url, select, text

from app.artworks.tables import Artwork
from app.database import engine, migrate, session_scope
from app.generations.tables import Generation
from app.training_runs.tables import TrainingRun
from models.contract.message import Message
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


JOB = {
    "status": "queued",
    "priority": 0,
    "request_id": "",
    "attempt": 0,
    "cancel_requested": False,
    "step": 0,
    "total": 0,
}
MADE = {"created_at": datetime(2026, 1, 1, tzinfo=UTC)}
BEFORE: dict[str, dict[str, Any]] = {  # rows of revision 0007
    "users": {"id": "u", "name": "u", "name_key": "u", "role": "artist", **MADE},
    "generations": {
        "id": "g",
        "user_id": "u",
        "queue": "generation",
        "model": "small-faces",
        "task": "t",
        "count": 3,
        "checkpoint_sha256": "c",
        "request_hash": "h",
        "params": {"label": "oil"},
        **JOB,
        **MADE,
        "inputs": {"images": [{"artwork": "w", "sha256": "s"}]},
        "error": "The model {x} is gone",
    },
    "artworks": {
        "id": "w",
        "user_id": "u",
        "position": 0,
        "sha256": "s",
        "media_type": "image/png",
        "size_bytes": 1,
        "model": "m",
        "task": "t",
        "title": "",
        "tags": [],
        "favourite": False,
        "visibility": "private",
        "text": "",
        "provenance": {"params": {"prompt": "a fox"}},
        **MADE,
    },
    "training_runs": {
        "id": "r",
        "queue": "training",
        "name": "r",
        "family": "gan",
        "collection": "emoji",
        "size": 64,
        "fit": "pad",
        "mirror": True,
        "params": {},
        "steps": 1,
        "seed": 0,
        "evaluate": True,
        "pieces": 1,
        "phase": "",
        "saved": 0,
        "pause_requested": False,
        "progress": 0,
        "seconds": 0,
        **JOB,
        **MADE,
    },
}


def downgrade(connection: Connection, revision: str) -> MetaData:
    """The tables as they are then."""
    config = migrate.alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)
    found = MetaData()
    found.reflect(connection)
    return found


@pytest.mark.usefixtures("in_process")
def test_what_was_there_before_works_of_every_kind_is_kept() -> None:
    """And goes back, as far as there was a place for it."""
    with engine().begin() as connection:
        tables = downgrade(connection, "0007").tables
        for name, row in BEFORE.items():
            connection.execute(insert(tables[name]).values(row))
    migrate.migrate()
    with session_scope(writing=False) as session:
        job, work = session.get_one(Generation, "g"), session.get_one(Artwork, "w")
        run = session.get_one(TrainingRun, "r")
    assert job.inputs == {"image": [{"artwork": "w", "sha256": "s", "media_type": "image/png"}]}
    assert (job.cost, job.batch_key, job.subject) == (3, "t", "oil · small faces")
    assert (work.subject, work.facts, work.poster_sha256) == ("a fox", {}, None)
    assert run.preparation == {"fit": "pad", "mirror": True}
    assert job.error is not None and (job.error.template, job.error.values) == ("The model {x} is gone", {})
    assert run.error is None
    with session_scope() as session:
        why = Message(
            "The run could not start: {reason}", reason=Message("the loss of step {step} is {loss}", step=1, loss=2)
        )
        session.get_one(TrainingRun, "r").error = why
    with engine().begin() as connection:
        tables = downgrade(connection, "0007").tables
        inputs = connection.execute(select(tables["generations"].c.inputs)).scalar_one()
        errors = [
            connection.execute(select(tables[name].c.error)).scalar_one() for name in ("generations", "training_runs")
        ]
        fit, mirror = connection.execute(select(tables["training_runs"].c.fit, tables["training_runs"].c.mirror)).one()
    assert errors == ["The model {x} is gone", "The run could not start: the loss of step 1 is 2"]
    assert "images" in inputs and (fit, bool(mirror)) == ("pad", True)
