"""What a storage gives is what was put, or nothing; it heals, lists by a cursor, and says what is wrong with it."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

from app.errors import Damaged, StorageFull, Unavailable
from app.media import pixels, previews
from app.storage import LocalStorage, S3Storage, Storage, address
from app.storage import local as local_storage
from models.contract.files import WRITING
from tests.studio import free_port

LARGE = b"large" * (local_storage.LARGE // 4)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "files")


@pytest.fixture
def remote(keys: None, bucket: str) -> S3Storage:
    return S3Storage(f"s3://danqing/{uuid4()}", bucket)


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest) -> Storage:
    return request.getfixturevalue(request.param)


def overwrite(store: Storage, digest: str, content: bytes) -> None:
    """As a failing disk does."""
    if isinstance(store, LocalStorage):
        place(store, digest).write_bytes(content)
    else:
        store.store.put(address(digest), content)


def place(store: LocalStorage, digest: str) -> Path:
    return store.root / address(digest)


# --- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"hello", LARGE])
def test_what_is_put_comes_back_and_goes(store: Storage, content: bytes, tmp_path: Path) -> None:
    digest = store.put(content)
    assert digest == hashlib.sha256(content).hexdigest() == store.put(content)
    assert store.get(digest) == content
    store.verify(digest)
    store.get_file(digest, tmp_path / "copy")
    assert store.put_file(tmp_path / "copy") == digest and (tmp_path / "copy").read_bytes() == content
    age = store.age(digest)
    assert age is not None and -60 < age < 60
    store.delete(digest)
    store.delete(digest)
    assert store.age(digest) is None
    for read in (store.get, store.verify):
        with pytest.raises(FileNotFoundError):
            read(digest)


@pytest.mark.parametrize("wrong", [b"", b"hell", b"hello!", b"jello"])
def test_wrong_bytes_are_never_given_and_the_same_content_heals_them(
    store: Storage, wrong: bytes, tmp_path: Path
) -> None:
    digest, other = store.put(b"hello"), store.put(b"other")
    overwrite(store, digest, wrong)
    for read in (store.get, store.verify, lambda digest: store.get_file(digest, tmp_path / "copy")):
        with pytest.raises(Damaged, match="danqing doctor --files"):
            read(digest)
    assert store.get(other) == b"other"
    assert store.put(b"hello") == digest and store.get(digest) == b"hello"


@pytest.mark.parametrize("name", ["", "ab", "../../etc/passwd", "A" * 64, "0" * 63 + "\n"])
def test_what_is_no_digest_is_missing(store: Storage, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        store.get(name)


def test_several_are_stored_at_once_in_order(store: Storage) -> None:
    contents = [f"file {number % 30}".encode() for number in range(40)]
    assert store.put_all(contents) == [hashlib.sha256(content).hexdigest() for content in contents]
    assert all(store.get(hashlib.sha256(content).hexdigest()) == content for content in contents)
    assert store.put_all([]) == []


def test_pages_go_through_all_of_it_in_order(store: Storage) -> None:
    digests = sorted(store.put_all([f"file {number}".encode() for number in range(50)]))
    seen: list[str] = []
    while page := store.after(seen[-1] if seen else "", 7):
        assert len(page) <= 7 and all(-60 < age < 60 for _, age in page)
        seen += [digest for digest, _ in page]
    assert seen == digests
    store.delete(digests[10])
    assert [digest for digest, _ in store.after(digests[9], 1)] == [digests[11]]
    assert [digest for digest, _ in store.after(digests[10], 1)] == [digests[11]], "a cursor need not be there"
    assert store.after(digests[-1], 7) == []


def test_a_storage_that_works_has_no_problem(store: Storage) -> None:
    digest = store.put(b"hello")
    assert store.problem() is None
    assert [found for found, _ in store.after("", 10)] == [digest], "and it leaves nothing behind"


# --- a disk ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_touched_and_not_written(local: LocalStorage) -> None:
    digest = local.put(b"hello")
    os.utime(place(local, digest), (1, 1))
    before = place(local, digest).stat().st_ino
    local.put(b"hello")
    assert place(local, digest).stat().st_ino == before
    assert local.age(digest) < 60


def test_a_link_in_the_place_of_a_file_is_missing_and_replaced(local: LocalStorage, tmp_path: Path) -> None:
    digest = local.put(b"hello")
    (tmp_path / "outside").write_bytes(b"hello")
    place(local, digest).unlink()
    place(local, digest).symlink_to(tmp_path / "outside")
    for read in (local.get, local.verify, local.opened):
        with pytest.raises(FileNotFoundError):
            read(digest)
    assert local.age(digest) is None and local.after("", 10) == []
    local.put(b"hello")
    assert not place(local, digest).is_symlink() and local.get(digest) == b"hello"
    assert (tmp_path / "outside").read_bytes() == b"hello"


@pytest.mark.parametrize("depth", [1, 2])
def test_a_link_in_the_place_of_a_folder_is_missing_and_replaced(
    local: LocalStorage, tmp_path: Path, depth: int
) -> None:
    digest = local.put(b"hello")
    folder = place(local, digest).parents[2 - depth]
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    assert place(local, digest).read_bytes() == b"hello", "the link does lead there"
    for read in (local.get, local.verify, local.opened):
        with pytest.raises(FileNotFoundError):
            read(digest)
    assert local.age(digest) is None and local.after("", 10) == []
    local.delete(digest)
    assert place(local, digest).exists(), "nothing is deleted through it"
    local.put(b"hello")
    assert not folder.is_symlink() and local.get(digest) == b"hello"


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "files").symlink_to(tmp_path / "elsewhere")
    store = LocalStorage(tmp_path / "files")
    assert store.get(store.put(b"hello")) == b"hello" and store.problem() is None


def test_what_is_no_plain_file_is_missing_and_holds_nobody_up(local: LocalStorage) -> None:
    digest = local.put(b"hello")
    place(local, digest).unlink()
    os.mkfifo(place(local, digest))
    with pytest.raises(FileNotFoundError):
        local.get(digest)
    assert local.get(local.put(b"hello")) == b"hello"


def test_a_large_file_is_hashed_once_for_every_change(local: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, hashed, hash_file = local.put(LARGE), [], hashlib.file_digest

    def counted(file: object, name: str) -> object:
        hashed.append(name)
        return hash_file(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(local_storage.hashlib, "file_digest", counted)
    for _ in range(3):
        with local.opened(digest) as file:
            assert file.read() == LARGE
    assert len(hashed) == 1
    with place(local, digest).open("r+b") as file:
        file.write(b"L")
    for _ in range(2):
        with pytest.raises(Damaged):
            local.opened(digest)
    local.put(LARGE)
    with local.opened(digest) as file:
        assert file.read() == LARGE
    assert local.opened(local.put(b"small")) is None


def test_strange_names_are_not_listed(local: LocalStorage) -> None:
    digest = local.put(b"hello")
    folder = place(local, digest).parent
    (folder / f"{WRITING}half").write_bytes(b"hel")
    (folder / ("f" * 64)).write_bytes(b"in the wrong folder")
    (local.root / "notes.txt").write_bytes(b"x")
    (local.root / "zz").mkdir()
    assert [found for found, _ in local.after("", 10)] == [digest]


@pytest.mark.parametrize(
    ("number", "kind", "sentence", "problem"),
    [
        (errno.ENOSPC, StorageFull, "The disk is full; nothing was saved", "full"),
        (errno.EDQUOT, StorageFull, "The disk is full; nothing was saved", "full"),
        (errno.EROFS, Unavailable, "The storage is read-only; nothing was saved", "read-only"),
        (errno.EACCES, Unavailable, "The storage is read-only; nothing was saved", "may not write"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_apart(
    local: LocalStorage,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
    sentence: str,
    problem: str,
) -> None:
    kept = local.put(b"kept")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for store in (lambda: local.put(b"hello"), lambda: local.put_all([b"hello", b"again"])):
        with pytest.raises(kind, match=sentence):
            store()
    assert problem in local.problem()
    assert local.get(kept) == b"kept"
    monkeypatch.undo()
    assert local.problem() is None
    assert [name.name for name in local.root.rglob("*") if name.is_file()] == [kept], "nothing half is left"


def test_a_file_on_a_failing_block_is_damaged(local: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = local.put(b"hello")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(local_storage, "open_at", fail)
    with pytest.raises(Damaged):
        local.get(digest)


def test_a_folder_that_is_lost_is_a_problem(local: LocalStorage) -> None:
    local.root.rename(local.root.with_name("gone"))
    assert local.problem() == "The folder of the storage is missing"
    with pytest.raises(Unavailable, match="The folder of the storage is missing; nothing was saved"):
        local.put(b"hello")
    assert not local.root.exists(), "files of another disk are not begun anew"


# --- object storage -------------------------------------------------------------------------------------------------


@pytest.fixture
def answering(keys: None) -> Iterator[Callable[[int, str], S3Storage]]:
    """Makes storages whose server answers everything with one status."""
    servers: list[HTTPServer] = []

    def make(status: int, code: str) -> S3Storage:
        body = f"<Error><Code>{code}</Code></Error>".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return S3Storage("s3://danqing/works", f"http://127.0.0.1:{servers[-1].server_port}")

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "saying", "problem"),
    [
        (
            403,
            "InvalidAccessKeyId",
            Unavailable,
            "refuses the studio's credentials",
            "refuses the studio's credentials",
        ),
        (401, "AccessDenied", Unavailable, "refuses the studio's credentials", "refuses the studio's credentials"),
        (404, "NoSuchBucket", Unavailable, "The bucket of the storage is missing", "The bucket"),
        (507, "XMinioStorageFull", StorageFull, "The storage is full", "full"),
        (500, "InternalError", Unavailable, "The storage is unreachable", "does not answer"),
    ],
)
def test_what_object_storage_says_is_told_apart(
    answering: Callable[[int, str], S3Storage], status: int, code: str, kind: type[Exception], saying: str, problem: str
) -> None:
    store = answering(status, code)
    with pytest.raises(kind, match=f"{saying}; nothing was saved"):
        store.put(b"hello")
    with pytest.raises(Unavailable):
        store.get("0" * 64)
    assert problem in store.problem()


def test_a_bucket_that_is_missing_loses_no_work(keys: None, bucket: str) -> None:
    store = S3Storage("s3://nothing-here/works", bucket)
    for ask in (lambda: store.get("0" * 64), lambda: store.put(b"hello"), lambda: store.after("", 10)):
        with pytest.raises(Unavailable, match="The bucket of the storage is missing"):
            ask()
    assert store.problem() == "The bucket of the storage is missing"


def test_object_storage_that_is_away_is_said_to_be(keys: None) -> None:
    store = S3Storage("s3://danqing/works", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable) as raised:
        store.put(b"hello")
    assert raised.value.message == "The storage is unreachable; nothing was saved, try again in a few seconds"
    assert raised.value.retry_after == 5
    for ask in (
        lambda: store.get("0" * 64),
        lambda: store.age("0" * 64),
        lambda: store.delete("0" * 64),
        lambda: store.after("", 10),
    ):
        with pytest.raises(Unavailable, match="The storage is unreachable; try again in a few seconds"):
            ask()
    assert store.problem() == "The storage does not answer"


def test_object_storage_that_hangs_is_soon_a_problem(keys: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = S3Storage("s3://danqing/works", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert store.problem() == "The storage does not answer"
        assert time.monotonic() - began < 10, "probes wait for it"


# --- previews -------------------------------------------------------------------------------------------------------


def test_a_kept_preview_that_is_damaged_or_a_link_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        previews, "preview_path", lambda digest, size: tmp_path / "previews" / "00" / f"{digest}-{size}"
    )
    content = pixels.encode_png(Image.new("RGB", (64, 64), "orange"))
    digest, asked = hashlib.sha256(content).hexdigest(), []

    def read() -> bytes:
        asked.append(digest)
        return content

    made = previews.cached_preview(digest, 64, read)
    assert previews.cached_preview(digest, 64, read) == made and len(asked) == 1, "it is kept"
    path = previews.preview_path(digest, 64)
    kept = path.read_bytes()
    for wrong in (b"", kept[:-1], kept[:-1] + bytes([kept[-1] ^ 1]), made):
        path.write_bytes(wrong)
        asked.clear()
        assert previews.cached_preview(digest, 64, read) == made and asked
        assert path.read_bytes() == kept
    path.rename(tmp_path / "outside.webp")
    path.symlink_to(tmp_path / "outside.webp")
    asked.clear()
    assert previews.cached_preview(digest, 64, read) == made and asked and not path.is_symlink()
