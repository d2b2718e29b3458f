"""Checkpoints that come in pieces, or lie on the server already."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.contract.card import ZOO
from tests.studio import Studio

FOLDER = ZOO / "pixel-faces"
OCTETS = {"Content-Type": "application/octet-stream"}


def files() -> list[tuple[str, bytes]]:
    names = ("card.json", "model.safetensors")
    return [(f"pixel-faces/{name}", (FOLDER / name).read_bytes()) for name in names]


def begun(client: httpx.Client, contents: list[tuple[str, bytes]], mark: str = "") -> dict[str, Any]:
    said = [{"name": name, "size": len(content), "mark": mark} for name, content in contents]
    answer = client.post("/checkpoints/transfers", json={"files": said})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def send(client: httpx.Client, key: str, number: int, offset: int, piece: bytes) -> httpx.Response:
    headers = OCTETS | {"Upload-Offset": str(offset)}
    return client.patch(f"/checkpoints/transfers/{key}/files/{number}", headers=headers, content=piece)


@pytest.fixture
def cleared(admin: httpx.Client) -> Iterator[None]:
    yield
    admin.delete("/checkpoints/came-in-pieces")


def test_files_come_in_pieces_go_on_where_they_ended_and_become_a_model(
    cleared: None, studio: Studio, admin: httpx.Client, artist: httpx.Client
) -> None:
    (_, card), (_, weights) = files()
    transfer = begun(admin, files())
    key, half = transfer["id"], len(weights) // 2
    assert send(admin, key, 0, 0, card).status_code == 204
    first = send(admin, key, 1, 0, weights[:half])
    assert first.status_code == 204 and first.headers["Upload-Offset"] == str(half)
    for offset, piece in ((0, weights[:half]), (half + 5, weights[half + 5 :])):
        wrong = send(admin, key, 1, offset, piece)
        assert wrong.status_code == 409 and wrong.headers["Upload-Offset"] == str(half)
    early = admin.post("/checkpoints", files={"name": (None, "came-in-pieces"), "transfer": (None, key)})
    assert early.status_code == 409 and "Not all" in early.text
    again = begun(admin, files())
    assert again["id"] == key and [each["received"] for each in again["files"]] == [len(card), half]
    assert "longer" in send(admin, key, 1, half, weights[half:] + b"x").text
    assert send(admin, key, 1, half, weights[half:]).status_code == 204
    made = admin.post("/checkpoints", files={"name": (None, "came-in-pieces"), "transfer": (None, key)}, timeout=120)
    assert made.status_code == 201, made.text
    assert artist.get("/models/came-in-pieces").status_code == 200
    assert admin.get(f"/checkpoints/transfers/{key}").status_code == 404
    assert not list((studio.folder / "data" / "transfers").glob(".writing-*"))


def test_a_refused_import_keeps_what_has_come(admin: httpx.Client) -> None:
    key = begun(admin, [("a/notes.txt", b"hello")])["id"]
    assert send(admin, key, 0, 0, b"hello").status_code == 204
    refused = admin.post("/checkpoints", files={"name": (None, "came-in-pieces"), "transfer": (None, key)}, timeout=120)
    assert refused.status_code == 422
    assert admin.get(f"/checkpoints/transfers/{key}").json()["files"][0]["received"] == 5
    assert admin.delete(f"/checkpoints/transfers/{key}").status_code == 204
    assert admin.get(f"/checkpoints/transfers/{key}").status_code == 404


def test_a_transfer_is_its_senders_alone(studio: Studio, admin: httpx.Client, artist: httpx.Client) -> None:
    key = begun(admin, files())["id"]
    other = studio.client("another-boss", "admin")
    assert artist.post("/checkpoints/transfers", json={"files": [{"name": "a", "size": 1}]}).status_code == 403
    for client, status in ((other, 404), (artist, 403)):
        assert client.get(f"/checkpoints/transfers/{key}").status_code == status
        assert send(client, key, 0, 0, b"x").status_code == status
    admin.delete(f"/checkpoints/transfers/{key}")


def test_other_content_under_the_same_names_is_another_transfer(admin: httpx.Client) -> None:
    """As many bytes under one name are not the same: nothing of one goes into the other."""
    first = begun(admin, files(), "2026-01-01")
    assert send(admin, first["id"], 0, 0, b"xx").status_code == 204
    for other in (begun(admin, files(), "2026-02-02"), begun(admin, files()[::-1], "2026-01-01")):
        assert other["id"] != first["id"] and not any(each["received"] for each in other["files"])
        admin.delete(f"/checkpoints/transfers/{other['id']}")
    assert begun(admin, files(), "2026-01-01")["files"][0]["received"] == 2
    admin.delete(f"/checkpoints/transfers/{first['id']}")


def test_hidden_and_empty_files_are_no_matter(cleared: None, admin: httpx.Client) -> None:
    more = {".gitattributes": b"x", ".cache/notes": b"", "empty": b""}
    contents = [*files(), *((f"pixel-faces/{name}", content) for name, content in more.items())]
    key = begun(admin, contents)["id"]
    for number, (_, content) in enumerate(contents):
        if content:
            assert send(admin, key, number, 0, content).status_code == 204
    made = admin.post("/checkpoints", files={"name": (None, "came-in-pieces"), "transfer": (None, key)}, timeout=120)
    assert made.status_code == 201, made.text


def test_a_transfer_is_named_by_its_key_alone(admin: httpx.Client) -> None:
    key = begun(admin, files())["id"]
    for wrong in (f"{key}/../../checkpoints", "..", f"{key}x", ""):
        form = {"name": (None, "came-in-pieces"), "transfer": (None, wrong)}
        assert admin.post("/checkpoints", files=form).status_code in (404, 422)
    admin.delete(f"/checkpoints/transfers/{key}")


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ([], "Fill this in"),
        ([{"name": "a", "size": -1}], "0"),
        ([{"name": "a", "size": 1 << 60}], "less"),
        ([{"name": "a", "size": 60 << 30}, {"name": "b", "size": 60 << 30}], "64 GiB"),
        ([{"name": "x/a", "size": 1}, {"name": "y/a", "size": 1}], "appears twice"),
        ([{"name": "..", "size": 1}, {"name": "b", "size": 1}], "not a file of a checkpoint"),
    ],
)
def test_what_cannot_come_is_said_before_it_does(said: list[dict[str, Any]], word: str, admin: httpx.Client) -> None:
    answer = admin.post("/checkpoints/transfers", json={"files": said})
    assert answer.status_code == 422 and word in answer.text


def test_bad_pieces_are_refused(admin: httpx.Client) -> None:
    key = begun(admin, [("a", b"x" * (40 << 20))])["id"]
    path = f"/checkpoints/transfers/{key}/files/0"
    assert send(admin, key, 7, 0, b"x").status_code == 404
    assert send(admin, "0" * 32, 0, 0, b"x").status_code == 404
    assert admin.patch(path, headers={"Upload-Offset": "0"}, json={}).status_code == 415
    assert admin.patch(path, headers=OCTETS, content=b"x").status_code == 422
    assert send(admin, key, 0, 0, b"x" * ((32 << 20) + 1)).status_code == 413
    assert admin.get(f"/checkpoints/transfers/{key}").json()["files"][0]["received"] == 0
    admin.delete(f"/checkpoints/transfers/{key}")


def test_a_folder_on_the_server_is_imported_where_the_operator_lets_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tmp_path = tmp_path_factory.mktemp("server")  # short: a socket lies in it
    allowed, elsewhere = tmp_path / "allowed", tmp_path / "elsewhere"
    shutil.copytree(FOLDER, allowed / "faces")
    shutil.copytree(FOLDER, elsewhere / "faces")
    (allowed / "linked").mkdir()
    (allowed / "linked" / "card.json").symlink_to(elsewhere / "faces" / "card.json")
    made = Studio(tmp_path / "studio", environment={"DANQING_IMPORT_FROM": str(allowed)})
    try:
        made.start("valkey", "web")
        boss = made.client("boss", "admin")

        def imported(folder: Path) -> httpx.Response:
            form = {"name": (None, "from-here"), "folder": (None, str(folder))}
            return boss.post("/checkpoints", files=form, timeout=120)

        for place in (elsewhere / "faces", allowed / "linked", allowed / ".." / "elsewhere" / "faces", Path("/etc")):
            refused = imported(place)
            assert refused.status_code == 422 and "DANQING_IMPORT_FROM" in refused.text, refused.text
        for strange in (allowed / "nothing", Path("a\0b")):
            assert imported(strange).status_code == 422
        assert imported(allowed / "faces").status_code == 201
        assert (allowed / "faces" / "card.json").exists(), "what lies there stays"
    finally:
        made.stop()
