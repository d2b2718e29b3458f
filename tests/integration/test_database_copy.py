"""`danqing database copy`: a studio moves from SQLite to PostgreSQL and back, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from PIL import Image, ImageDraw

from app.database.copy import BATCH
from app.tables import Base
from tests.studio import PASSWORD, Studio, submit

PROMPT = "一只狐狸 🦊 in the snow"
NUL = "\0"
Making = Callable[..., Studio]


def drawing(form: str) -> bytes:
    picture, buffer = Image.new("RGB", (48, 48), "white"), io.BytesIO()
    ImageDraw.Draw(picture).rectangle((8, 12, 40, 24), fill="red")
    picture.save(buffer, form)
    return buffer.getvalue()


def file_of(studio: Studio) -> Path:
    return studio.folder / "data" / "danqing.sqlite"


def change(studio: Studio, query: str, *values: object) -> None:
    with closing(sqlite3.connect(file_of(studio))) as connection, connection:
        connection.execute(query, values)


def drawn(studio: Studio, job: dict[str, Any]) -> str:
    """What a worker leaves of a job: its file and its rows. Returns the work's id."""
    content, made, when = drawing("PNG"), str(uuid.uuid4()), "2026-01-02 03:04:05.678901"
    digest = hashlib.sha256(content).hexdigest()
    file = studio.folder / "data" / "files" / digest[:2] / digest[2:4] / digest
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    work = {
        "id": made,
        "generation_id": job["id"],
        "position": 0,
        "sha256": digest,
        "media_type": "image/png",
        "size_bytes": len(content),
        "width": 48,
        "height": 48,
        "model": job["model"],
        "task": job["task"],
        "seed": 2**53 + 1,
        "provenance": json.dumps({"params": {"prompt": PROMPT, "guidance": 1.5, "small": 1e-07, "list": [None, True]}}),
        "title": "",
        "tags": "[]",
        "favourite": False,
        "visibility": "private",
        "created_at": when,
    }
    columns, marks = ", ".join(work), ", ".join("?" for _ in work)
    query = f"INSERT INTO artworks (user_id, {columns}) SELECT user_id, {marks} FROM generations WHERE id = ?"  # noqa: S608
    change(studio, query, *work.values(), job["id"])
    change(studio, "UPDATE generations SET status = 'succeeded', finished_at = ? WHERE id = ?", when, job["id"])
    return made


def contents(file: Path) -> dict[str, list[list[Any]]]:
    """Every row as SQLite itself has it; JSON by what it says."""

    def spelt(value: Any) -> Any:
        if not isinstance(value, str) or value[:1] not in ("{", "["):
            return value
        return json.loads(value, parse_float=Decimal, parse_int=Decimal)

    with closing(sqlite3.connect(file)) as connection:
        found = {}
        for table in Base.metadata.sorted_tables:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
            rows = connection.execute(f"SELECT {columns} FROM {table.name} ORDER BY {keys}")  # noqa: S608
            found[table.name] = [[spelt(value) for value in row] for row in rows]
        return found


def tables_of(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [name for (name,) in found]


def refusal(studio: Studio, url: str) -> str:
    """The one sentence of a copy that must fail."""
    done = studio.run("database", "copy", url, check=False)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("danqing: "), done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_studio_moves_to_postgresql_and_back_and_its_works_and_keys_go_on(
    fresh_studio: Making, empty_postgres: str, tmp_path: Path
) -> None:
    before = fresh_studio()
    before.start("valkey", "web")
    client, boss = before.client("画师 🖌"), before.client("boss", "admin")
    work = drawn(before, submit(client, PROMPT))
    assert client.patch(f"/artworks/{work}", json={"title": "狐 🦊", "tags": ["雪", "été"]}).is_success
    dataset = boss.post("/datasets", json={"name": "风筝", "kind": "pictures"}).json()["id"]
    pictures = [("红风筝.png", drawing("PNG")), ("again.jpg", drawing("JPEG")), ("no.png", b"<html>")]
    added = boss.post(f"/datasets/{dataset}/items", files=[("files", picture) for picture in pictures])
    assert (added.json()["accepted"], added.json()["refused"]) == (2, 1)
    run = {"name": "Kites", "family": "text-to-image-transformer", "dataset": dataset, "steps": 20}
    launched = boss.post("/training-runs", json=run)
    assert launched.status_code == 202, launched.text
    seen = client.get(f"/artworks/{work}").json()
    picture = client.get(f"/artworks/{work}/file").content
    before.signed_in("boss")
    before.kill("web")

    there = before.run("database", "copy", empty_postgres)
    told = {name: int(rows) for name, rows in (line.split("\t") for line in there.stdout.splitlines())}
    here = contents(file_of(before))
    assert told == {name: len(rows) for name, rows in here.items()}
    filled = {"users", "api_keys", "user_sessions", "generations", "artworks", "datasets", "dataset_items"}
    assert all(told[name] for name in filled | {"training_runs"})
    names = [column.name for column in Base.metadata.tables["dataset_items"].columns]
    items = [dict(zip(names, row, strict=True)) for row in here["dataset_items"]]
    assert {item["similar_to"] for item in items} == {None, items[0]["id"]}
    assert "DANQING_DATABASE_URL" in there.stderr

    after = fresh_studio(DANQING_DATA=str(before.folder / "data"), DANQING_DATABASE_URL=empty_postgres)
    back = tmp_path / "回.sqlite"
    assert after.run("database", "copy", f"sqlite:///{back}").stdout == there.stdout
    assert contents(back) == here

    after.start("web")
    with httpx.Client(base_url=f"{after.url}/api/v1", headers=client.headers) as moved:
        assert moved.get(f"/artworks/{work}").json() == seen
        assert moved.get(f"/artworks/{work}/file").content == picture
    assert httpx.post(f"{after.url}/api/v1/sessions", json={"name": "画师 🖌", "password": PASSWORD}).status_code == 201


def test_more_rows_than_are_in_memory_at_once_come_over_with_those_that_they_resemble(
    fresh_studio: Making, empty_postgres: str, tmp_path: Path
) -> None:
    studio = fresh_studio()
    change(
        studio,
        "INSERT INTO datasets (id, name, name_key, description, kind, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        *("d", "many", "many", "", "pictures", "2026-01-02 03:04:05.000006"),
    )
    with closing(sqlite3.connect(file_of(studio))) as connection, connection:
        connection.executemany(
            "INSERT INTO dataset_items (id, dataset_id, name, size_bytes, caption, media_type, facts, similar_to,"
            " created_at) VALUES (?, 'd', ?, ?, '', 'image/png', ?, ?, '2026-01-02 03:04:05.678901')",
            [
                (f"{i:05}", f"{i}.png", 2**60 + i, json.dumps({"n": i / 7, "large": 1e23, "b": [None]}), f"{i - 1:05}")
                for i in range(2 * BATCH + 3)
            ],
        )
    assert f"dataset_items\t{2 * BATCH + 3}\n" in studio.run("database", "copy", empty_postgres).stdout
    moved = fresh_studio(DANQING_DATABASE_URL=empty_postgres)
    moved.run("database", "copy", f"sqlite:///{tmp_path / 'back.sqlite'}")
    assert contents(tmp_path / "back.sqlite") == contents(file_of(studio))


def test_a_target_with_rows_is_refused_and_left_as_it_is(fresh_studio: Making, empty_postgres: str) -> None:
    studio, other = fresh_studio(), fresh_studio(DANQING_DATABASE_URL=empty_postgres)
    for each in (studio, other):
        each.run("user", "add", "artist", text=f"{PASSWORD}\n")
    assert "the target is not empty: its table users has rows" in refusal(studio, empty_postgres)
    assert "the target is not empty" in refusal(studio, f"sqlite:///{file_of(studio)}"), "a copy onto itself"
    with psycopg.connect(empty_postgres) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:secret@127.0.0.1:1/danqing", "the target says: "),
        ("postgresql://me:se@cret@127.0.0.1:1/danqing", "an @ in a password"),
        ("postgresql://me:se@/cret@127.0.0.1:1/danqing", "an @ in a password"),
        ("postgresql://me:secret@127.0.0.1:port/danqing", "no URL of a database"),
        ("postgresql://me:secret@127.0.0.1:1/danqing?secret=1", "the target says: "),
        ("secret", "no URL of a database"),
        ("mysql://me:secret@127.0.0.1/danqing", "begins with postgresql://"),
        ("sqlite://", "names a file alone"),
        ("sqlite:////tmp/x.sqlite?secret=1", "names a file alone"),
        ("sqlite:////nowhere/at/all.sqlite", "unable to open database file"),
    ],
)
def test_a_target_that_cannot_be_reached_is_one_sentence_without_the_password(
    fresh_studio: Making, url: str, said: str
) -> None:
    told = refusal(fresh_studio(), url)
    assert said in told and not {"secret", "cret@"} & set(told.replace("/", " ").split()) and "se@" not in told


def test_nothing_is_copied_while_a_studio_runs_on_the_data_folder(fresh_studio: Making, tmp_path: Path) -> None:
    studio = fresh_studio()
    with (studio.folder / "data" / "up.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "a studio is running on" in refusal(studio, f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert not (tmp_path / "new.sqlite").exists()
    studio.run("database", "copy", f"sqlite:///{tmp_path / 'new.sqlite'}")


def test_a_database_of_an_older_version_is_migrated_by_its_operator_first(fresh_studio: Making, tmp_path: Path) -> None:
    studio = fresh_studio()
    change(studio, "UPDATE alembic_version SET version_num = '0001'")
    assert "run `danqing migrate`" in refusal(studio, f"sqlite:///{tmp_path / 'new.sqlite'}")
    file_of(studio).unlink()
    assert "there is no database" in refusal(studio, f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert not file_of(studio).exists()


@pytest.mark.parametrize(
    ("column", "value"), [("description", f"a{NUL}b"), ("user_id", "nobody"), ("created_at", "never")]
)
def test_a_row_that_the_target_does_not_take_is_named_and_nothing_is_kept(
    fresh_studio: Making, empty_postgres: str, column: str, value: object
) -> None:
    studio = fresh_studio()
    for i in range(3):
        change(
            studio,
            "INSERT INTO datasets (id, name, name_key, description, kind, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            *(f"id-{i}", f"n{i}", f"n{i}", "", "pictures", "2026-01-02 03:04:05.000006"),
        )
    change(studio, f"UPDATE datasets SET {column} = ? WHERE id = 'id-1'", value)  # noqa: S608
    told = refusal(studio, empty_postgres)
    assert "datasets" in told and "nothing was kept" in told
    assert "row id-1" in told or column == "created_at", "what cannot be read has no key yet"
    assert tables_of(empty_postgres) == []


def test_a_nul_within_json_is_named_and_nothing_is_kept(fresh_studio: Making, empty_postgres: str) -> None:
    studio = fresh_studio()
    change(
        studio,
        "INSERT INTO published_checkpoints (name, sha256, files, published_at) VALUES (?, ?, ?, ?)",
        *("狐", "0", json.dumps({"a": NUL}), "2026-01-02 03:04:05.000006"),
    )
    assert "the target refuses row 狐 of published_checkpoints" in refusal(studio, empty_postgres)
    assert tables_of(empty_postgres) == []


def test_a_target_that_changes_what_it_is_given_keeps_nothing(fresh_studio: Making, empty_postgres: str) -> None:
    studio = fresh_studio()
    studio.run("user", "add", "artist", text=f"{PASSWORD}\n")
    fresh_studio(DANQING_DATABASE_URL=empty_postgres)
    with psycopg.connect(empty_postgres) as connection:
        connection.execute(
            "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.name = upper(NEW.name); RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER louder BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION louder()")
    assert "the table users is not the same in the target (1 rows, 1 there)" in refusal(studio, empty_postgres)
    with psycopg.connect(empty_postgres) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
