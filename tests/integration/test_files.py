"""Files through a running studio: a damaged one is never served as good, parts are answered, a doctor finds what is
lost; on a disk and in object storage alike.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from app.storage import S3Storage, address
from tests.studio import ROOT, Studio, finished, submit

TITLE, DETAIL = "The file is damaged", "The file of this work is damaged on the studio's disk"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
LARGE = 1800  # pixels a side: of noise, it is more than is read at once


def noise(side: int) -> bytes:
    """A PNG that nobody has."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(client: httpx.Client, content: bytes) -> dict[str, Any]:
    answer = client.post("/uploads", files={"file": ("x.png", content)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def file_of(studio: Studio, digest: str) -> Path:
    return studio.folder / "data" / "files" / address(digest)


def flip(path: Path) -> None:
    """One bit of one byte, as a failing disk does; its times and its size stay."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def assert_damaged(answer: httpx.Response) -> None:
    assert answer.status_code == 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["title"] == TITLE and problem["detail"].startswith(DETAIL)


def assert_missing(answer: httpx.Response) -> None:
    assert answer.status_code == 404 and "missing" in answer.json()["detail"], answer.text


def test_a_damaged_work_is_an_error_and_others_are_served(studio: Studio, artist: httpx.Client) -> None:
    harmed, whole = finished(artist, submit(artist, "harmed", count=2, seed=uuid4().int % 2**31)["id"])["artworks"]
    flip(file_of(studio, harmed["sha256"]))
    assert_damaged(artist.get(f"/artworks/{harmed['id']}/file"))
    assert_damaged(artist.get(f"/artworks/{harmed['id']}/file", headers={"Range": "bytes=0-3"}))
    assert_damaged(artist.get(f"/artworks/{harmed['id']}/preview"))
    said = artist.get(f"/artworks/{harmed['id']}/file", headers={"Accept-Language": "zh-CN"}).json()
    assert said["title"] == "文件已损坏" and "danqing doctor --files" in said["detail"]
    served = artist.get(f"/artworks/{whole['id']}/file")
    assert hashlib.sha256(served.content).hexdigest() == whole["sha256"]
    assert artist.get(f"/artworks/{whole['id']}/preview").status_code == 200


@pytest.mark.parametrize("side", [40, LARGE])
def test_the_same_content_again_repairs_what_was_damaged_lost_or_a_link(
    studio: Studio, artist: httpx.Client, tmp_path: Path, side: int
) -> None:
    content = noise(side)
    kept = upload(artist, content)
    path, url = file_of(studio, kept["sha256"]), f"/uploads/{kept['id']}/file"
    right = artist.get(url).content
    assert hashlib.sha256(right).hexdigest() == kept["sha256"]

    flip(path)
    assert_damaged(artist.get(url))
    upload(artist, content)
    assert artist.get(url).content == right

    (tmp_path / "outside.png").write_bytes(right)
    path.unlink()
    path.symlink_to(tmp_path / "outside.png")
    assert_missing(artist.get(url))
    upload(artist, content)
    assert artist.get(url).content == right and not path.is_symlink()

    path.unlink()
    assert_missing(artist.get(url))
    upload(artist, content)
    assert artist.get(url).content == right


# --- parts ----------------------------------------------------------------------------------------------------------


@dataclass
class Served:
    client: httpx.Client
    url: str
    content: bytes
    tag: str

    def get(self, asked: str | None, **headers: str) -> httpx.Response:
        return self.client.get(self.url, headers={**({"Range": asked} if asked else {}), **headers})


@pytest.fixture(scope="module", params=["local", "remote"])
def client(
    request: pytest.FixtureRequest, bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    away = {"DANQING_STORAGE_URL": f"s3://danqing/{uuid4()}", "DANQING_STORAGE_ENDPOINT": bucket, **KEYS}
    made = Studio(tmp_path_factory.mktemp("studio"), away if request.param == "remote" else {})
    try:
        made.start("web")
        yield made.client("artist")
    finally:
        made.stop()


@pytest.fixture(scope="module", params=[40, LARGE])
def served(request: pytest.FixtureRequest, client: httpx.Client) -> Served:
    kept = upload(client, noise(request.param))
    url = f"/uploads/{kept['id']}/file"
    return Served(client, url, client.get(url).content, f'"{kept["sha256"]}"')


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-7", 0, 8),
        ("bytes=5-5", 5, 6),
        ("bytes=100-", 100, None),
        ("bytes=-10", -10, None),
        ("BYTES= 0-3", 0, 4),
        ("bytes=50-99999999999999999999999", 50, None),
        ("bytes=-99999999999999999999999", 0, None),
    ],
)
def test_one_part_is_answered_alone(served: Served, asked: str, start: int, stop: int | None) -> None:
    answer, size = served.get(asked), len(served.content)
    assert answer.status_code == 206
    part = served.content[start:stop]
    first = start % size
    assert answer.content == part and answer.headers["content-length"] == str(len(part))
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{size}"
    assert answer.headers["etag"] == served.tag and answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "bytes=0-1,4-5",
        "bytes=" + ",".join(f"{number}-{number}" for number in range(1000)),
        "bytes=",
        "bytes=-",
        "bytes=7-3",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes 0-3",
        "lines=0-3",
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_what_is_not_one_part_answers_the_whole(served: Served, asked: str | None) -> None:
    answer = served.get(asked)
    assert answer.status_code == 200 and answer.content == served.content
    assert answer.headers["accept-ranges"] == "bytes" and "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes=99999999999-99999999999999", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(served: Served, asked: str) -> None:
    answer = served.get(asked)
    assert answer.status_code == 416 and answer.headers["content-range"] == f"bytes */{len(served.content)}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == f"The file has {len(served.content)} bytes"


def test_a_part_of_another_file_than_this_answers_the_whole(served: Served) -> None:
    assert served.get("bytes=0-7", **{"If-Range": served.tag}).status_code == 206
    for other in ('"other"', f"W/{served.tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert served.get("bytes=0-7", **{"If-Range": other}).status_code == 200


def test_a_known_file_is_not_sent_and_head_sends_none(served: Served) -> None:
    known = served.get(None, **{"If-None-Match": served.tag})
    assert known.status_code == 304 and known.content == b"" and known.headers["etag"] == served.tag
    head = served.client.head(served.url)
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(served.content)) and head.headers["accept-ranges"] == "bytes"


# --- the doctor -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["local", "remote"])
def harmed(
    request: pytest.FixtureRequest, fresh_studio: Callable[..., Studio], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Studio, Callable[[str], None], Callable[[str], None]]:
    """(a studio, damages a file of it, loses one)."""
    if request.param == "local":
        studio = fresh_studio()
        return studio, lambda digest: flip(file_of(studio, digest)), lambda digest: file_of(studio, digest).unlink()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    url = f"s3://danqing/{uuid4()}"
    store = S3Storage(url, bucket)
    studio = fresh_studio(DANQING_STORAGE_URL=url, DANQING_STORAGE_ENDPOINT=bucket)
    return studio, lambda digest: store.store.put(address(digest), b"wrong"), store.delete


def test_the_doctor_names_every_file_that_is_lost_or_damaged(
    harmed: tuple[Studio, Callable[[str], None], Callable[[str], None]],
) -> None:
    studio, damage, lose = harmed
    studio.start("web")
    admin = studio.client("admin", "admin")
    uploads = [upload(admin, noise(16)) for _ in range(5)]
    dataset = admin.post("/datasets", json={"name": "noise"}).json()["id"]
    added = admin.post(f"/datasets/{dataset}/items", files=[("files", (f"{n}.png", noise(64))) for n in range(3)])
    assert added.json()["accepted"] == 3, added.text
    items = admin.get(f"/datasets/{dataset}/items").json()["items"]

    well = studio.run("doctor", "--files")
    assert well.returncode == 0 and "FAIL" not in well.stdout
    total = int(well.stdout.split(" files")[0])
    assert total >= 8 and well.stdout == f"{total} files, 0 missing, 0 damaged\n" and f"{total} files" in well.stderr

    own = studio.folder / "data" / "checkpoints" / "own"  # its weights are not those of its card
    own.mkdir(parents=True)
    (own / "card.json").write_bytes((ROOT / "models" / "zoo" / "pixel-faces" / "card.json").read_bytes())
    (own / "model.safetensors").write_bytes(b"wrong")
    digests = {
        item["id"]: hashlib.sha256(file).hexdigest() for item, file in ((i, content(admin, dataset, i)) for i in items)
    }
    damage(uploads[1]["sha256"])
    lose(uploads[2]["sha256"])
    damage(digests[items[0]["id"]])

    ill = studio.run("doctor", "--files", check=False)
    assert ill.returncode == 1
    *found, summary = ill.stdout.splitlines()
    assert sorted(found) == sorted(
        [
            f"FAIL  upload {uploads[1]['id']}: its file is damaged",
            f"FAIL  upload {uploads[2]['id']}: its file is missing",
            f"FAIL  dataset item {items[0]['id']}: its file is damaged",
            "FAIL  checkpoint own: its file is damaged",
        ]
    )
    assert summary == f"{total + 1} files, 1 missing, 3 damaged"
    assert_damaged(admin.get(f"/datasets/{dataset}/items/{items[0]['id']}/file"))
    assert_damaged(admin.get(f"/datasets/{dataset}/items/{items[0]['id']}/preview"))
    assert (
        content(admin, dataset, items[1]) and "ok    storage: takes files" in studio.run("doctor", check=False).stdout
    )


def content(admin: httpx.Client, dataset: str, item: dict[str, Any]) -> bytes:
    answer = admin.get(f"/datasets/{dataset}/items/{item['id']}/file")
    assert answer.status_code == 200, answer.text
    return answer.content


def test_the_doctor_says_what_is_wrong_with_the_storage(fresh_studio: Callable[..., Studio], bucket: str) -> None:
    studio = fresh_studio(DANQING_STORAGE_URL="s3://nothing-here", DANQING_STORAGE_ENDPOINT=bucket, **KEYS)
    done = studio.run("doctor", check=False)
    assert done.returncode == 1
    assert "FAIL  storage: The bucket of the storage is missing" in done.stdout.splitlines()
