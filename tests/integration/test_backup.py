"""The studio in one file, made while it runs, and back in an empty folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_datasets import drawing
from tests.studio import Studio, finished, submit


def elsewhere(fresh_studio: Any, backup: Path, **environment: str) -> tuple[Studio, Any]:
    """A studio whose data folder was never used, and what `danqing restore` says there."""
    other: Studio = fresh_studio(**environment)
    other.environment["DANQING_DATA"] = str(other.folder / "new")
    return other, other.run("restore", str(backup), check=False)


@pytest.mark.parametrize("target", ["sqlite", "postgres"])
def test_a_studio_comes_back_from_a_file_that_was_made_while_it_ran(
    fresh_studio: Any, request: pytest.FixtureRequest, tmp_path: Path, target: str
) -> None:
    studio = fresh_studio()
    studio.start("valkey", "web", "worker")
    artist = studio.client("artist")
    work = finished(artist, submit(artist, "a red fox")["id"])["artworks"][0]
    picture = artist.get(f"/artworks/{work['id']}/file").content
    folder = tmp_path / "kites"
    folder.mkdir()
    (folder / "kite.png").write_bytes(drawing(1))
    studio.run("dataset", "import", "kites", str(folder))
    studio.run("checkpoint", "import", "models/zoo/pixel-faces", "faces-copy")
    backup = tmp_path / "studio.tar"
    assert studio.run("backup", str(backup)).stdout.strip() == str(backup)
    studio.stop()

    database = {"DANQING_DATABASE_URL": request.getfixturevalue("empty_postgres")} if target == "postgres" else {}
    other, answer = elsewhere(fresh_studio, backup, **database)
    assert answer.returncode == 0, answer.stderr
    assert "artworks\t1" in answer.stdout and "dataset_items\t1" in answer.stdout
    other.start("valkey", "web", "worker")
    again = other.signed_in("artist")
    assert again.get(f"/api/v1/artworks/{work['id']}/file").content == picture
    assert (
        other.run("doctor", "--files").stdout.startswith("4 files, 0 missing")
        or "0 damaged" in other.run("doctor", "--files").stdout
    )
    assert "faces-copy" in other.run("checkpoint", "list").stdout
    key = artist.headers["Authorization"]
    assert again.get("/api/v1/users/me", headers={"Authorization": key}).status_code == 200, "keys go on"


def test_what_is_not_whole_is_not_restored(fresh_studio: Any, tmp_path: Path) -> None:
    studio = fresh_studio()
    studio.run("user", "add", "artist", text="correct horse\n")
    backup = tmp_path / "studio.tar"
    studio.run("backup", str(backup))
    whole = backup.read_bytes()
    at = whole.index(b"SQLite format 3") + 5000
    changes = {
        "cut off": whole[: len(whole) // 2],
        "changed": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "something else": b"no backup at all" * 100,
        "leads out": with_entry(whole, "../escape.txt"),
    }
    for what, content in changes.items():
        backup.write_bytes(content)
        other, answer = elsewhere(fresh_studio, backup)
        assert answer.returncode == 1 and "Traceback" not in answer.stderr, (what, answer.stderr)
        left = list((other.folder / "new").rglob("*")) if (other.folder / "new").exists() else []
        assert not left and not list(other.folder.glob("*escape*")), what


def with_entry(content: bytes, name: str) -> bytes:
    buffer = io.BytesIO(content)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return buffer.getvalue()


def test_a_folder_that_is_used_stays_as_it_is(fresh_studio: Any, tmp_path: Path) -> None:
    studio = fresh_studio()
    backup = tmp_path / "studio.tar"
    studio.run("backup", str(backup))
    answer = studio.run("restore", str(backup), check=False)
    assert answer.returncode == 1 and "is not empty" in answer.stderr


def test_a_backup_fails_where_a_work_is_lost(fresh_studio: Any, tmp_path: Path) -> None:
    studio = fresh_studio()
    (tmp_path / "kite.png").write_bytes(drawing(1))
    studio.run("dataset", "import", "kites", str(tmp_path / "kite.png"))
    (lost,) = [path for path in (studio.folder / "data" / "files").rglob("*") if path.is_file()]
    lost.unlink()
    backup = tmp_path / "studio.tar"
    answer = studio.run("backup", str(backup), check=False)
    assert answer.returncode == 1 and lost.name in answer.stderr and not backup.exists()
    answer = studio.run("backup", str(backup), "--incomplete")
    assert lost.name in answer.stderr and backup.exists()
