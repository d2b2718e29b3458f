"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from models.contract import files


def write(target: Path, text: str) -> None:
    with files.whole_folder(target) as temporary:
        (temporary / "file").write_text(text)


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write(tmp_path / "model", text)
        assert (tmp_path / "model" / "file").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("broken", [1, 2])
def test_the_one_before_stays_where_the_new_one_cannot_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    write(tmp_path / "model", "old")
    rename, calls = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == broken:
            raise OSError(errno.ENOSPC, "no space left")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path / "model", "new")
    assert (tmp_path / "model" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
